package main

import (
	"fmt"
	"time"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/identity"
	"github.com/yserverd/yserverd/yserver"
)

// tokenCommand makes a JWT that the server of a configuration believes: for trying things out.
type tokenCommand struct {
	User     string        `required:"" help:"Id of the user that it is for."`
	Org      string        `help:"Id of the user's organisation."`
	Role     []string      `help:"A role in it; may be given several times."`
	Name     string        `help:"Name, for others to see."`
	UserRole string        `help:"The user's own role; admin passes rules of access."`
	TTL      time.Duration `default:"15m" help:"How long it holds."`
	Config   string        `short:"c" default:"yserverd.yaml" placeholder:"FILE" help:"Configuration file."`
}

// Run prints the token, and nothing else.
func (c *tokenCommand) Run(m *Main) error {
	cfg, err := config.Load(c.Config, config.Options{Environ: m.Environ, PartyName: yserver.KebabCase})
	if err != nil {
		return err
	}
	who := gate.Identity{UserID: c.User, OrgID: c.Org, Roles: c.Role, Name: c.Name, UserRole: c.UserRole}
	if who.OrgID == "" {
		who.OrgID = cfg.Auth.PinnedOrg
	}
	token, err := identity.MintJWT([]byte(cfg.Auth.Secret), cfg.Identity().JWT, who, c.TTL, time.Now())
	if err != nil {
		return &exitError{exitFailed, fmt.Errorf("no token was made (auth of %s): %w", c.Config, err)}
	}
	_, err = fmt.Fprintln(m.Stdout, token)
	return err
}

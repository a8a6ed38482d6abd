package config

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/gate/access"
	"github.com/yserverd/yserverd/gate/identity"
)

// places finds the lines of keys once everything is read. Nil knows none.
type places func(p path, message string) Problem

// place is problem for a declaration.
func (l *loader) place(p path, message string) Problem {
	return l.problem(l.standing(p), l.unforeign(message))
}

// standing returns where a declaration stands: the file may have a shorter form of its table, and within that another
// form of its conditions.
func (l *loader) standing(p path) path {
	for _, forms := range []map[string]path{l.shorthands, l.aliases} {
		for n := len(p); n > 0; n-- {
			if file, ok := forms[p[:n].join()]; ok {
				p = append(file[:len(file):len(file)], p[n:]...)
				break
			}
		}
	}
	return p
}

// unforeign takes what came from the environment out of a message that others made: it may be a secret in the wrong
// place. What is too short to be one stays.
func (l *loader) unforeign(message string) string {
	for _, text := range l.foreign {
		if len(text) > 3 {
			message = strings.ReplaceAll(message, text, "(a value from the environment)")
		}
	}
	return message
}

// Place returns a problem that was found later, with the line of its key. The path is that of a declaration, as
// access.Problem has it, or of any key.
func (c *Config) Place(key []string, message, fix string) Problem {
	message = sentence(message, fix)
	if c.places == nil {
		return Problem{Key: path(key).String(), Message: message}
	}
	return c.places(key, message)
}

// failDeclared reports a problem of a declaration, unless part of it could not be used in the first place: what is
// missing then may be just that.
func (l *loader) failDeclared(p path, message string) {
	key := l.standing(p).join()
	for lost := range l.undecoded {
		if covers(key, lost) || covers(lost, key) {
			return
		}
	}
	l.problems = append(l.problems, l.place(p, message))
}

// covers reports whether one path is the other, or above it.
func covers(above, p string) bool {
	return p == above || len(p) > len(above) && p[:len(above)] == above && p[len(above)] == delim[0]
}

// validateGate checks what one room asks of its callers, as far as it concerns no other key.
func (l *loader) validateGate(at path, r *Room) {
	l.oneOf(at.at("write").at("presence"), r.Write.Presence, "all", "writers")
	if r.Access.Public && r.Ticket == ticketOnly {
		l.fail(at.at("ticket"), "access: public lets everybody in: want access for who has a ticket, or ticket: true")
	}
}

// validateAccess checks resources, relationships and what rooms say of them, and that there is what they take.
func (l *loader) validateAccess(c *Config, names []string) {
	for _, p := range access.Check(c.Schema(), c.Rules()) {
		l.failDeclared(p.Path, sentence(p.Message, p.Fix))
	}
	if c.DatabaseURL() == "" {
		if len(c.Resources) > 0 {
			l.fail(path{"resources"}, noDatabase)
		}
	}
	for _, name := range names {
		room, at := c.Rooms[name], path{"rooms", name}
		if !room.Access.Given {
			l.warnings = append(l.warnings, l.problem(at.at("access"),
				"is missing: every caller who is known may open every room of "+room.Party+", of any organisation, if he knows its id"))
		}
		if c.Auth.Secret == "" && (room.Guarded() || room.Ticket != ticketNone) {
			l.needSecret(at, name, room)
		}
	}
}

// needSecret reports, once, that callers cannot be known. It is reported where the secret belongs, in the line of the
// room that takes it if there is none.
func (l *loader) needSecret(at path, name string, room *Room) {
	secret := path{"auth", "secret"}
	for key := range l.undecoded {
		if covers(key, at.at("access").join()) || covers(key, secret.join()) {
			return
		}
	}
	hint := ""
	if !room.Access.Given {
		hint = "; or access: public, which lets everybody in"
	}
	problem := l.problem(secret, "is missing, and "+name+" has to know its callers: "+howToMakeASecret+hint)
	if problem.Line == 0 && problem.File == l.file {
		problem.Line = l.lines[at.join()]
	}
	l.problems = append(l.problems, problem)
	l.undecoded[secret.join()] = true
}

// identityProblems reports what identity finds wrong, as far as that can be seen without asking a database.
func (l *loader) identityProblems(at path, c *Config) {
	config := c.Identity()
	if len(config.Secret) < minSecret {
		config.Secret = make([]byte, minSecret) // which is reported elsewhere, once
	}
	if c.DatabaseURL() != "" {
		config.DB = unasked{} // there is one, which is all that may be known here
	}
	problems, err := identity.Check(context.Background(), config)
	if err != nil && !errors.Is(err, errUnasked) {
		l.fail(at, err.Error())
	}
	for _, p := range problems {
		l.failDeclared(append(at[:len(at):len(at)], p.Path...), sentence(p.Message, p.Fix))
	}
}

// errUnasked is what a database answers that is not to be asked.
var errUnasked = errors.New("the database is not asked")

// unasked is such a database.
type unasked struct{}

// Query implements identity.Querier.
func (unasked) Query(context.Context, string, ...any) (pgx.Rows, error) { return nil, errUnasked }

// sentence joins what is wrong and what to do about it.
func sentence(message, fix string) string {
	if fix == "" {
		return message
	}
	return message + ": " + fix
}

// Identity returns how callers are known, without the database and whatever else runs.
func (c *Config) Identity() identity.Config {
	config := identity.Config{
		Secret: []byte(c.Auth.Secret), Secure: strings.HasPrefix(strings.ToLower(c.PublicURL), "https:"), PinnedOrg: c.Auth.PinnedOrg,
		JWT: identity.JWTConfig{
			Algorithms: c.Auth.JWT.Algorithms, JWKSURL: c.Auth.JWT.JWKSURL, JWKSFile: c.Auth.JWT.JWKSFile,
			Issuer: c.Auth.JWT.Issuer, Audience: c.Auth.JWT.Audience, Leeway: c.Auth.JWT.Leeway,
			Claims: identity.ClaimNames(c.Auth.JWT.Claims),
		},
		Session: identity.SessionConfig{
			Enabled: c.Auth.Session.Enabled, Cookie: c.Auth.Session.Cookie, Table: c.Auth.Session.Table,
			MembershipTable: c.Auth.Session.MembershipTable, UserTable: c.Auth.Session.UserTable,
			Columns: c.Auth.Session.Columns, Named: c.Auth.Session.Named,
		},
		APIKeys: identity.APIKeyConfig{
			Header: c.Auth.APIKeys.Header, Query: c.Auth.APIKeys.Query, Table: c.Auth.APIKeys.Table,
			Columns: c.Auth.APIKeys.Columns, Named: c.Auth.APIKeys.Named,
		},
	}
	for _, k := range c.Auth.APIKeys.Static {
		config.APIKeys.Static = append(config.APIKeys.Static, identity.StaticKey{
			SHA256: k.SHA256, UserID: k.User, OrgID: k.Org, Roles: k.Roles, Name: k.Name,
		})
	}
	return config
}

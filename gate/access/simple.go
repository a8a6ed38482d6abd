package access

import (
	"context"

	"github.com/yserverd/yserverd/gate"
)

// anyone admits every caller with an identity, and on a public room those without.
type anyone struct {
	public bool
	write  writeRule
}

// Anonymous reports whether the room is public.
func (a *anyone) Anonymous() bool { return a.public }

// Authorize admits.
func (a *anyone) Authorize(_ context.Context, id gate.Identity, _ *gate.Request) (gate.Decision, error) {
	if !a.public && !id.Authenticated() {
		return gate.Decision{}, gate.RefuseMissing()
	}
	return a.write.decide(&id, true), nil
}

// equals admits the caller whose value the room's id is.
type equals struct {
	name  string
	write writeRule
}

// Anonymous is false: who has no identity has no value.
func (*equals) Anonymous() bool { return false }

// Authorize compares. Ids are compared as the bytes that they are, and an empty value is nobody's room.
func (e *equals) Authorize(_ context.Context, id gate.Identity, r *gate.Request) (gate.Decision, error) {
	if !id.Authenticated() {
		return gate.Decision{}, gate.RefuseMissing()
	}
	if value := ctxValue(&id, e.name); value == "" || value != r.Room {
		return gate.Decision{}, gate.RefuseDenied()
	}
	return e.write.decide(&id, true), nil
}

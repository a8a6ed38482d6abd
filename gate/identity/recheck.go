package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/yserverd/yserverd/gate"
)

// lookup finds identities by their proofs, all in one query.
type lookup func(ctx context.Context, proofs []string, now time.Time) (map[string]gate.Checked, error)

// Recheck implements gate.Authenticator. Sessions and keys of the table are read again, each kind in one query. A JWT,
// a ticket and a key of the configuration are as good as they were, until they expire.
func (a *Authenticator) Recheck(ctx context.Context, ids []gate.Identity) ([]gate.Checked, error) {
	now := a.config.Clock()
	m := a.found.Load()
	if m == nil {
		return nil, errors.New("the authenticator has not been started")
	}
	var bySession, byKey lookup
	if m.sessions != nil {
		bySession = m.sessions.recheck
	}
	if m.keys != nil {
		byKey = m.keys.recheck
	}
	checked := make([]gate.Checked, len(ids))
	var inSession, inKey []int
	for i, id := range ids {
		switch {
		case id.Method == gate.MethodSession:
			inSession = append(inSession, i)
		case id.Method == gate.MethodAPIKey && strings.HasPrefix(id.Proof, tableProof):
			inKey = append(inKey, i)
		default:
			checked[i] = unchanged(id, now)
		}
	}
	if err := again(ctx, bySession, ids, inSession, checked, now); err != nil {
		return nil, fmt.Errorf("look for sessions again: %w", err)
	}
	if err := again(ctx, byKey, ids, inKey, checked, now); err != nil {
		return nil, fmt.Errorf("look for API keys again: %w", err)
	}
	return checked, nil
}

// again fills in what the lookup finds of the ids at some places.
func again(ctx context.Context, find lookup, ids []gate.Identity, places []int, checked []gate.Checked, now time.Time) error {
	if len(places) == 0 {
		return nil
	}
	proofs := make([]string, 0, len(places))
	for _, i := range places {
		proofs = append(proofs, ids[i].Proof)
	}
	slices.Sort(proofs)
	var found map[string]gate.Checked
	if find != nil {
		var err error
		if found, err = find(ctx, slices.Compact(proofs), now); err != nil {
			return err
		}
	}
	for _, i := range places {
		c, ok := found[ids[i].Proof]
		if !ok || c.Refusal == nil && c.Identity.UserID != ids[i].UserID {
			c = gate.Checked{Refusal: gate.RefuseInvalid()}
		}
		checked[i] = c
	}
	return nil
}

// unchanged is an identity that nobody can say more about than when it ends.
func unchanged(id gate.Identity, now time.Time) gate.Checked {
	if !id.ExpiresAt.IsZero() && !now.Before(id.ExpiresAt) {
		return gate.Checked{Refusal: gate.RefuseExpired()}
	}
	return gate.Checked{Identity: id}
}

// checkedOf is the outcome of looking at a row.
func checkedOf(id gate.Identity, err error) gate.Checked {
	var refusal *gate.Refusal
	if errors.As(err, &refusal) {
		return gate.Checked{Refusal: refusal}
	}
	return gate.Checked{Identity: id}
}

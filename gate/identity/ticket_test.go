package identity_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/identity"
)

// asker is an identity that asks for tickets.
var asker = gate.Identity{
	UserID: "ann", Name: "Ann", UserRole: "user", OrgID: "org_1", TeamID: "team_1", Roles: []string{"a", "b"},
	ExpiresAt: start.Add(time.Hour), Method: gate.MethodSession, Proof: "s1",
}

func newIssuerOfTickets(t *testing.T, c identity.IssuerConfig) (*identity.Issuer, *clock) {
	t.Helper()
	now := newClock()
	c.Secret, c.Clock = secret, now.Now
	i, err := identity.NewIssuer(c)
	require.NoError(t, err)
	return i, now
}

func TestTicket(t *testing.T) {
	i, now := newIssuerOfTickets(t, identity.IssuerConfig{})
	for _, row := range []struct {
		name    string
		options identity.IssueOptions
		scope   []string
	}{
		{"any room", identity.IssueOptions{}, nil},
		{"one room", identity.IssueOptions{Rooms: []string{"main/a/b"}}, []string{"main/a/b"}},
		{"rooms", identity.IssueOptions{Rooms: []string{"main/a", "lobby/b"}}, []string{"main/a", "lobby/b"}},
		{"a resource", identity.IssueOptions{ScopeKey: "events:1"}, []string{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			token, expires, err := i.Issue(asker, row.options)
			require.NoError(t, err)
			require.Equal(t, start.Add(time.Minute), expires)
			ticket, err := i.Verify(t.Context(), token)
			require.NoError(t, err)
			want := asker
			want.Method, want.Proof, want.Scope = gate.MethodTicket, "", row.scope
			require.Equal(t, want, ticket.Identity, "the identity lives until the one that asked ends")
			require.Equal(t, row.options.ScopeKey, ticket.ScopeKey)
			require.Equal(t, row.scope == nil, ticket.Identity.Scope == nil, "nil is any room, and empty is none")
		})
	}
	forever := asker
	forever.ExpiresAt = time.Time{}
	token, _, err := i.Issue(forever, identity.IssueOptions{})
	require.NoError(t, err)
	ticket, err := i.Verify(t.Context(), token)
	require.NoError(t, err)
	require.True(t, ticket.Identity.ExpiresAt.IsZero())
	require.NotContains(t, token, "s1")

	// To the second, without leeway.
	now.Add(time.Minute - time.Nanosecond)
	_, err = i.Verify(t.Context(), token)
	require.NoError(t, err)
	now.Add(time.Nanosecond)
	_, err = i.Verify(t.Context(), token)
	requireRefusal(t, gate.CodeExpired, err)
}

// TestTicketForm holds what a ticket is on the wire, as broadcast.md has it.
func TestTicketForm(t *testing.T) {
	i, _ := newIssuerOfTickets(t, identity.IssuerConfig{})
	token, _, err := i.Issue(asker, identity.IssueOptions{Rooms: []string{"main/notes"}})
	require.NoError(t, err)
	parsed := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithTimeFunc(func() time.Time { return start }))
	header, err := parser.ParseWithClaims(token, parsed, func(*jwt.Token) (any, error) { return identity.TicketKey(i), nil })
	require.NoError(t, err)
	require.Equal(t, map[string]any{"alg": "HS256", "typ": "ws-ticket+jwt"}, header.Header)
	jti, _ := parsed["jti"].(string)
	require.Len(t, jti, 22)
	delete(parsed, "jti")
	require.Equal(t, jwt.MapClaims{
		"sub": "ann", "organizationId": "org_1", "teamId": "team_1", "roles": []any{"a", "b"}, "userRole": "user", "name": "Ann",
		"party": "main", "room": "notes", "iat": float64(start.Unix()), "exp": float64(start.Unix() + 60), "sexp": float64(start.Unix() + 3600),
	}, parsed)
	again, _, err := i.Issue(asker, identity.IssueOptions{})
	require.NoError(t, err)
	require.NotEqual(t, token, again)
}

func TestTicketTTL(t *testing.T) {
	i, now := newIssuerOfTickets(t, identity.IssuerConfig{TTL: 10 * time.Second})
	now.Add(900 * time.Millisecond)
	for _, row := range []struct {
		name  string
		ttl   time.Duration
		until time.Time // of the identity
		want  time.Time
	}{
		{"the issuer's", 0, start.Add(time.Hour), start.Add(10 * time.Second)},
		{"a shorter one", 3 * time.Second, start.Add(time.Hour), start.Add(3 * time.Second)},
		{"no longer one", time.Hour, start.Add(time.Hour), start.Add(10 * time.Second)},
		{"not longer than the identity", 0, start.Add(4*time.Second + 1), start.Add(4 * time.Second)},
	} {
		t.Run(row.name, func(t *testing.T) {
			id := asker
			id.ExpiresAt = row.until
			_, expires, err := i.Issue(id, identity.IssueOptions{TTL: row.ttl})
			require.NoError(t, err)
			require.Equal(t, row.want, expires)
		})
	}
}

func TestTicketNotIssued(t *testing.T) {
	i, _ := newIssuerOfTickets(t, identity.IssuerConfig{})
	ticket, expired := asker, asker
	ticket.Method, expired.ExpiresAt = gate.MethodTicket, start
	for _, row := range []struct {
		name string
		id   gate.Identity
		o    identity.IssueOptions
	}{
		{"anonymous", gate.Identity{}, identity.IssueOptions{}},
		{"a ticket for a ticket", ticket, identity.IssueOptions{}},
		{"expired", expired, identity.IssueOptions{}},
		{"no rooms", asker, identity.IssueOptions{Rooms: []string{}}},
		{"no room", asker, identity.IssueOptions{Rooms: []string{"main/"}}},
		{"no party", asker, identity.IssueOptions{Rooms: []string{"notes"}}},
		{"rooms and a resource", asker, identity.IssueOptions{Rooms: []string{"main/a"}, ScopeKey: "x"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			token, _, err := i.Issue(row.id, row.o)
			require.Error(t, err)
			require.Empty(t, token)
		})
	}
	for _, c := range []identity.IssuerConfig{{Secret: secret[:31]}, {Secret: secret, TTL: -1}, {Secret: secret, TTL: time.Millisecond}} {
		_, err := identity.NewIssuer(c)
		require.Error(t, err)
	}
}

// TestTicketForged has tokens that are no tickets of this issuer.
func TestTicketForged(t *testing.T) {
	i, _ := newIssuerOfTickets(t, identity.IssuerConfig{})
	key := identity.TicketKey(i)
	require.NotEqual(t, secret, key)
	good := func(others jwt.MapClaims) jwt.MapClaims {
		all := jwt.MapClaims{"jti": "x"}
		for k, v := range others {
			all[k] = v
		}
		return claims(all)
	}
	_, err := i.Verify(t.Context(), minted(t, key, good(nil), "typ", identity.TicketType))
	require.NoError(t, err, "the rows differ from this one in one thing")
	parts := strings.Split(minted(t, key, good(nil), "typ", identity.TicketType), ".")
	for name, token := range map[string]string{
		"a JWT":                       minted(t, secret, good(nil)),
		"a JWT that says ticket":      minted(t, secret, good(nil), "typ", identity.TicketType),
		"a JWT by the ticket's key":   minted(t, key, good(nil)),
		"no typ":                      minted(t, key, good(nil), "typ", ""),
		"typ in another case":         minted(t, key, good(nil), "typ", "WS-Ticket+jwt"),
		"another algorithm":           mintedBy(t, jwt.SigningMethodHS384, key, good(nil), "typ", identity.TicketType),
		"another issuer":              minted(t, []byte("another secret of at least 32 bytes."), good(nil), "typ", identity.TicketType),
		"no signature":                parts[0] + "." + parts[1] + ".",
		"critical extension":          minted(t, key, good(nil), "typ", identity.TicketType, "crit", "x"),
		"no exp":                      minted(t, key, good(jwt.MapClaims{"exp": nil}), "typ", identity.TicketType),
		"no user":                     minted(t, key, good(jwt.MapClaims{"sub": nil}), "typ", identity.TicketType),
		"no id":                       minted(t, key, good(jwt.MapClaims{"jti": nil}), "typ", identity.TicketType),
		"not valid yet":               minted(t, key, good(jwt.MapClaims{"nbf": start.Add(time.Second).Unix()}), "typ", identity.TicketType),
		"roles of another kind":       minted(t, key, good(jwt.MapClaims{"roles": "admin"}), "typ", identity.TicketType),
		"long":                        minted(t, key, good(jwt.MapClaims{"x": repeat(identity.MaxJWT)}), "typ", identity.TicketType),
		"junk":                        "\xff\x00",
		"nothing":                     "",
		"a key's signature elsewhere": parts[0] + "." + parts[1] + "." + strings.Split(minted(t, secret, good(nil)), ".")[2],
	} {
		t.Run(name, func(t *testing.T) {
			ticket, err := i.Verify(t.Context(), token)
			requireRefusal(t, gate.CodeInvalid, err)
			require.Equal(t, identity.Ticket{}, ticket)
		})
	}
	_, err = i.Verify(t.Context(), minted(t, key, good(jwt.MapClaims{"sexp": start.Unix()}), "typ", identity.TicketType))
	requireRefusal(t, gate.CodeExpired, err)
}

// TestTicketOnce: a ticket that may be used once is, by whoever is first.
func TestTicketOnce(t *testing.T) {
	i, _ := newIssuerOfTickets(t, identity.IssuerConfig{SingleUse: true})
	token, _, err := i.Issue(asker, identity.IssueOptions{})
	require.NoError(t, err)
	var won atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := i.Verify(context.Background(), token); err == nil {
				won.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, won.Load())
	_, err = i.Verify(t.Context(), token)
	requireRefusal(t, gate.CodeInvalid, err)

	token, _, err = i.Issue(asker, identity.IssueOptions{})
	require.NoError(t, err)
	_, err = i.Verify(t.Context(), token)
	require.NoError(t, err)
}

// burner is a Burner that tests decide for.
type burner func(id string, until time.Time) (bool, error)

func (b burner) Burn(_ context.Context, id string, until time.Time) (bool, error) {
	return b(id, until)
}

func TestTicketBurner(t *testing.T) {
	var burned []string
	i, _ := newIssuerOfTickets(t, identity.IssuerConfig{SingleUse: true, Burner: burner(func(id string, until time.Time) (bool, error) {
		burned = append(burned, id)
		require.Equal(t, start.Add(time.Minute), until.UTC())
		return len(burned) == 1, nil
	})})
	token, _, err := i.Issue(asker, identity.IssueOptions{})
	require.NoError(t, err)
	_, err = i.Verify(t.Context(), token)
	require.NoError(t, err)
	_, err = i.Verify(t.Context(), token)
	requireRefusal(t, gate.CodeInvalid, err)
	require.Len(t, burned, 2)
	require.Equal(t, burned[0], burned[1])
	_, err = i.Verify(t.Context(), token+"x")
	requireRefusal(t, gate.CodeInvalid, err)
	require.Len(t, burned, 2, "nobody burns with what does not verify")

	away, _ := newIssuerOfTickets(t, identity.IssuerConfig{SingleUse: true, Burner: burner(func(string, time.Time) (bool, error) {
		return true, errors.New("away")
	})})
	_, err = away.Verify(t.Context(), token)
	requireRefusal(t, gate.CodeAuthUnavailable, err)

	reused, _ := newIssuerOfTickets(t, identity.IssuerConfig{Burner: burner(func(string, time.Time) (bool, error) { return false, nil })})
	_, err = reused.Verify(t.Context(), token)
	require.NoError(t, err)
}

func TestMemoryBurner(t *testing.T) {
	now := newClock()
	b := identity.NewMemoryBurner(3, now.Now)
	burn := func(id string, ttl time.Duration) (bool, error) { return b.Burn(t.Context(), id, now.Now().Add(ttl)) }
	for n, ttl := range []time.Duration{3 * time.Second, time.Second, 2 * time.Second} {
		first, err := burn(strconv.Itoa(n), ttl)
		require.NoError(t, err)
		require.True(t, first)
	}
	first, err := burn("0", time.Second)
	require.NoError(t, err)
	require.False(t, first)
	_, err = burn("3", time.Second)
	require.ErrorIs(t, err, identity.ErrBurnerFull, "it does not forget what still counts")
	now.Add(time.Second)
	first, err = burn("3", time.Second)
	require.NoError(t, err)
	require.True(t, first)
	first, err = burn("2", time.Second)
	require.NoError(t, err)
	require.False(t, first)
}

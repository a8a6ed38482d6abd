package gate_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
)

// noon is when tests take place.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

var errAway = errors.New("connection refused by db.internal")

// people is an Authenticator: it answers as it is told, and notes what it was
// asked.
type people struct {
	id      gate.Identity
	err     error
	checked func(gate.Identity) gate.Checked // nil: as it was
	away    error                            // of Recheck
	callers []gate.Caller
	tickets []gate.TicketMode
	batches []int
}

func (p *people) Authenticate(_ context.Context, c *gate.Caller, tickets gate.TicketMode) (gate.Identity, error) {
	p.callers, p.tickets = append(p.callers, *c), append(p.tickets, tickets)
	return p.id, p.err
}

func (p *people) Refresh(_ context.Context, _ string, tickets gate.TicketMode) (gate.Identity, error) {
	p.tickets = append(p.tickets, tickets)
	return p.id, p.err
}

func (p *people) Recheck(_ context.Context, ids []gate.Identity) ([]gate.Checked, error) {
	p.batches = append(p.batches, len(ids))
	if p.away != nil {
		return nil, p.away
	}
	var out []gate.Checked
	for _, id := range ids {
		if p.checked == nil {
			out = append(out, gate.Checked{Identity: id})
		} else {
			out = append(out, p.checked(id))
		}
	}
	return out, nil
}

// rule is an Authorizer that decides by a function.
type rule struct {
	decide    func(id gate.Identity, room string) (gate.Decision, error)
	anonymous bool

	mu    sync.Mutex
	asked []gate.Ask
	http  []*http.Request
}

func (a *rule) Authorize(_ context.Context, id gate.Identity, r *gate.Request) (gate.Decision, error) {
	a.mu.Lock()
	a.asked, a.http = append(a.asked, gate.Ask{Identity: id, Party: r.Party, Room: r.Room}), append(a.http, r.HTTP)
	a.mu.Unlock()
	return a.decide(id, r.Room)
}

func (a *rule) Anonymous() bool { return a.anonymous }

// batchRule is a rule that takes many questions at once.
type batchRule struct {
	rule
	all func([]gate.Ask) ([]gate.Verdict, error)
}

func (a *batchRule) AuthorizeAll(_ context.Context, asks []gate.Ask) ([]gate.Verdict, error) {
	return a.all(asks)
}

func allow(d gate.Decision) *rule {
	return &rule{decide: func(gate.Identity, string) (gate.Decision, error) { return d, nil }}
}

func refuse(err error) *rule {
	return &rule{decide: func(gate.Identity, string) (gate.Decision, error) { return gate.Decision{}, err }}
}

func guard(t testing.TB, c gate.GuardConfig) gate.Guard {
	t.Helper()
	if c.Clock == nil {
		c.Clock = func() time.Time { return noon }
	}
	g, err := gate.NewGuard(c)
	require.NoError(t, err)
	return g
}

func ask() *gate.Request {
	r := httptest.NewRequest(http.MethodGet, "http://docs.example/parties/p/r", nil)
	r.RemoteAddr = "192.0.2.7:4321"
	return &gate.Request{HTTP: r, Party: "p", Room: "a/r"}
}

// code returns the status and the code of a refusal, nothing for nil.
func code(t testing.TB, err error) (int, string) {
	t.Helper()
	if err == nil {
		return 0, ""
	}
	var refusal *gate.Refusal
	require.ErrorAs(t, err, &refusal)
	return refusal.Status, refusal.Code
}

func TestNewGuardRefuses(t *testing.T) {
	for name, c := range map[string]gate.GuardConfig{
		"nothing":                       {},
		"a public party with rules":     {Public: true, Authorizer: allow(gate.Decision{})},
		"a public party with tickets":   {Public: true, Tickets: gate.TicketsOnly, Authenticator: &people{}},
		"rules about nobody":            {Authorizer: allow(gate.Decision{})},
		"a ticket mode that is unknown": {Authenticator: &people{}, Tickets: 3},
	} {
		_, err := gate.NewGuard(c)
		require.Error(t, err, name)
	}
}

var (
	ann     = gate.Identity{UserID: "ann", OrgID: "org", Method: gate.MethodJWT}
	expired = gate.Identity{UserID: "ann", Method: gate.MethodSession, ExpiresAt: noon}
	inTime  = gate.Identity{UserID: "ann", ExpiresAt: noon.Add(time.Minute)}
	ticket  = gate.Identity{UserID: "ann", Method: gate.MethodTicket}
	scoped  = gate.Identity{UserID: "ann", Method: gate.MethodTicket, Scope: []string{"p/b", "p/a/r"}}
	astray  = gate.Identity{UserID: "ann", Method: gate.MethodTicket, Scope: []string{"p/r", "a/r", "p/a"}}
	locked  = gate.Identity{UserID: "ann", Method: gate.MethodTicket, Scope: []string{}}
	writes  = gate.Decision{Write: true}
)

// The order of NewGuard, with the row for each of its clauses.
func TestAdmit(t *testing.T) {
	for _, row := range []struct {
		name   string
		id     gate.Identity
		err    error
		config gate.GuardConfig
		want   gate.Decision
		status int
		code   string
	}{
		{"any caller that is known", ann, nil, gate.GuardConfig{}, gate.Decision{Identity: ann, Write: true}, 0, ""},
		{"nobody", gate.Identity{}, nil, gate.GuardConfig{}, gate.Decision{}, 401, gate.CodeMissing},
		{"nobody, with rules", gate.Identity{}, nil, gate.GuardConfig{Authorizer: allow(writes)}, gate.Decision{}, 401, gate.CodeMissing},
		{
			"nobody, with rules for nobody",
			gate.Identity{},
			nil,
			gate.GuardConfig{Authorizer: &rule{anonymous: true, decide: allow(gate.Decision{}).decide}},
			gate.Decision{},
			0, "",
		},
		{"a wrong credential", gate.Identity{}, gate.RefuseInvalid(), gate.GuardConfig{}, gate.Decision{}, 401, gate.CodeInvalid},
		{"two credentials", gate.Identity{}, gate.RefuseAmbiguous(), gate.GuardConfig{}, gate.Decision{}, 400, gate.CodeAmbiguous},
		{"a key too often", gate.Identity{}, gate.RefuseRateLimited(0), gate.GuardConfig{}, gate.Decision{}, 429, gate.CodeRateLimited},
		{"a backend that is away", ann, errAway, gate.GuardConfig{}, gate.Decision{}, 503, gate.CodeAuthUnavailable},
		{"out of time", expired, nil, gate.GuardConfig{}, gate.Decision{}, 401, gate.CodeExpired},
		{"in time", inTime, nil, gate.GuardConfig{}, gate.Decision{Identity: inTime, Write: true, Until: inTime.ExpiresAt}, 0, ""},

		{"a ticket unasked", ticket, nil, gate.GuardConfig{}, gate.Decision{}, 401, gate.CodeInvalid},
		{"a ticket too", ticket, nil, gate.GuardConfig{Tickets: gate.TicketsToo}, gate.Decision{Identity: ticket, Write: true}, 0, ""},
		{"tickets only", ticket, nil, gate.GuardConfig{Tickets: gate.TicketsOnly}, gate.Decision{Identity: ticket, Write: true}, 0, ""},
		{"no ticket", ann, nil, gate.GuardConfig{Tickets: gate.TicketsOnly}, gate.Decision{}, 401, gate.CodeMissing},
		{"a ticket for the room", scoped, nil, gate.GuardConfig{Tickets: gate.TicketsToo}, gate.Decision{Identity: scoped, Write: true}, 0, ""},
		{"a ticket for another", astray, nil, gate.GuardConfig{Tickets: gate.TicketsToo}, gate.Decision{}, 403, gate.CodeDenied},
		{"a ticket for none", locked, nil, gate.GuardConfig{Tickets: gate.TicketsToo}, gate.Decision{}, 403, gate.CodeDenied},

		{"read-only", ann, nil, gate.GuardConfig{Authorizer: allow(gate.Decision{NoPresence: true})}, gate.Decision{Identity: ann, NoPresence: true}, 0, ""},
		{"refused", ann, nil, gate.GuardConfig{Authorizer: refuse(gate.RefuseFirewall())}, gate.Decision{}, 403, gate.CodeFirewall},
		{"not to be decided", ann, nil, gate.GuardConfig{Authorizer: refuse(errAway)}, gate.Decision{}, 503, gate.CodeAccessUnavailable},
		{
			"the caller is who it is, whatever rules say", ann, nil,
			gate.GuardConfig{Authorizer: allow(gate.Decision{Identity: gate.Identity{UserID: "root"}})},
			gate.Decision{Identity: ann},
			0, "",
		},
		{
			"until the rule ends", inTime, nil,
			gate.GuardConfig{Authorizer: allow(gate.Decision{Until: noon.Add(time.Second)})},
			gate.Decision{Identity: inTime, Until: noon.Add(time.Second)},
			0, "",
		},
		{
			"until the identity ends", inTime, nil,
			gate.GuardConfig{Authorizer: allow(gate.Decision{Until: noon.Add(time.Hour)})},
			gate.Decision{Identity: inTime, Until: inTime.ExpiresAt},
			0, "",
		},
		{"over before it begins", ann, nil, gate.GuardConfig{Authorizer: allow(gate.Decision{Write: true, Until: noon})}, gate.Decision{}, 403, gate.CodeDenied},

		{"public", ann, nil, gate.GuardConfig{Public: true}, gate.Decision{Identity: ann, Write: true}, 0, ""},
		{"public, until", inTime, nil, gate.GuardConfig{Public: true}, gate.Decision{Identity: inTime, Write: true, Until: inTime.ExpiresAt}, 0, ""},
		{"public, nobody", gate.Identity{}, nil, gate.GuardConfig{Public: true}, writes, 0, ""},
		{"public, wrong", gate.Identity{}, gate.RefuseInvalid(), gate.GuardConfig{Public: true}, writes, 0, ""},
		{"public, too often", gate.Identity{}, gate.RefuseRateLimited(0), gate.GuardConfig{Public: true}, writes, 0, ""},
		{"public, two", gate.Identity{}, gate.RefuseAmbiguous(), gate.GuardConfig{Public: true}, gate.Decision{}, 400, gate.CodeAmbiguous},
		{"public, away", gate.Identity{}, errAway, gate.GuardConfig{Public: true}, gate.Decision{}, 503, gate.CodeAuthUnavailable},
		{"public, out of time", expired, nil, gate.GuardConfig{Public: true}, writes, 0, ""},
		{"public, a ticket for another", astray, nil, gate.GuardConfig{Public: true, Tickets: gate.TicketsToo}, writes, 0, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.config.Authenticator = &people{id: row.id, err: row.err}
			got, err := guard(t, row.config).Admit(t.Context(), ask())
			status, code := code(t, err)
			require.Equal(t, row.status, status)
			require.Equal(t, row.code, code)
			require.Equal(t, row.want, got)
		})
	}
	got, err := guard(t, gate.GuardConfig{Public: true}).Admit(t.Context(), ask())
	require.NoError(t, err)
	require.Equal(t, writes, got, "without an authenticator")
}

// What the parts are asked, and what of their errors is seen where.
func TestAdmitAsks(t *testing.T) {
	p, a := &people{id: ann}, allow(writes)
	origin, err := gate.NewOriginPolicy(gate.OriginConfig{Allowed: []string{"*"}})
	require.NoError(t, err)
	r := ask()
	r.HTTP.Header.Set("Origin", "https://elsewhere.example")
	_, err = guard(t, gate.GuardConfig{Authenticator: p, Authorizer: a, Tickets: gate.TicketsToo, Origin: origin}).Admit(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, []gate.Caller{{HTTP: r.HTTP, Origin: gate.OriginWildcard, Addr: "192.0.2.7"}}, p.callers)
	require.Equal(t, []gate.TicketMode{gate.TicketsToo}, p.tickets)
	require.Equal(t, []gate.Ask{{Identity: ann, Party: "p", Room: "a/r"}}, a.asked)
	require.Same(t, r.HTTP, a.http[0])

	p = &people{id: ann}
	r.HTTP.RemoteAddr = "somewhere"
	_, err = guard(t, gate.GuardConfig{Authenticator: p}).Admit(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, gate.Caller{HTTP: r.HTTP, Origin: gate.OriginRefused, Addr: "somewhere"}, p.callers[0])

	p.err = errAway
	_, err = guard(t, gate.GuardConfig{Authenticator: p}).Admit(t.Context(), r)
	require.ErrorIs(t, err, errAway, "logs learn why")
	var refusal *gate.Refusal
	require.ErrorAs(t, err, &refusal)
	require.NotContains(t, refusal.Error(), "db.internal", "clients do not")
	require.Equal(t, time.Second, refusal.RetryAfter)
}

// An address that fails too often is told so, and let in when it does not fail.
func TestFailureLimit(t *testing.T) {
	now := noon
	p := &people{err: gate.RefuseInvalid()}
	addr := "192.0.2.1"
	c := gate.GuardConfig{
		Authenticator: p, Failures: gate.NewFailureLimit(3),
		Clock: func() time.Time { return now }, Addr: func(*http.Request) string { return addr },
	}
	g := guard(t, c)
	try := func() int {
		_, err := g.Admit(t.Context(), ask())
		status, _ := code(t, err)
		return status
	}
	tries := func(n int) (statuses []int) {
		for range n {
			statuses = append(statuses, try())
		}
		return statuses
	}
	require.Equal(t, []int{401, 401, 401, 429, 429}, tries(5))
	addr = "192.0.2.2"
	require.Equal(t, 401, try(), "others may fail")
	addr = "192.0.2.1"
	p.id, p.err = ann, nil
	require.Zero(t, try(), "what verifies passes")
	p.id, p.err = gate.Identity{}, gate.RefuseInvalid()
	now = now.Add(20 * time.Second)
	require.Equal(t, []int{401, 429}, tries(2), "one is forgiven after a third of the time")
	now = now.Add(time.Minute)
	require.Equal(t, []int{401, 401, 401, 429}, tries(4))
	now = now.Add(50 * time.Second) // a generation later
	require.Equal(t, []int{401, 401, 429}, tries(3))

	addr = "2001:db8::1"
	require.Equal(t, []int{401, 401}, tries(2))
	addr = "2001:db8::ffff:1"
	require.Equal(t, []int{401, 429}, tries(2), "an IPv6 network counts as one")
	addr = "2001:db8:0:1::1"
	require.Equal(t, 401, try())
	addr = "::ffff:192.0.2.9"
	require.Equal(t, []int{401, 401}, tries(2))
	addr = "192.0.2.9"
	require.Equal(t, []int{401, 429}, tries(2))

	for _, err := range []error{gate.RefuseAmbiguous(), errAway, nil} { // nil: no credential
		addr, p.err = "192.0.2.30", err
		require.NotContains(t, tries(9), 429)
	}
	p.err = gate.RefuseInvalid()
	c.Failures = gate.NewFailureLimit(0)
	g = guard(t, c)
	require.NotContains(t, tries(999), 429, "no limit")
	c.Failures, c.Public = gate.NewFailureLimit(1), true
	g = guard(t, c)
	require.Equal(t, []int{0, 0, 0}, tries(3), "a public party has no failures")
}

// A connection is no way around the limit: what it tries counts for its address, with what is tried at the door.
func TestFailureLimitOfRefreshes(t *testing.T) {
	p := &people{err: gate.RefuseInvalid()}
	c := gate.GuardConfig{
		Authenticator: p, Failures: gate.NewFailureLimit(2),
		Clock: func() time.Time { return noon }, Addr: func(*http.Request) string { return "192.0.2.1" },
	}
	g := guard(t, c)
	refresh := func(addr string) string {
		_, err := g.Refresh(t.Context(), gate.Held{Identity: ann, Party: "p", Room: "a/r", Addr: addr}, "token")
		_, refusal := code(t, err)
		return refusal
	}
	require.Equal(t, gate.CodeInvalid, refresh("192.0.2.1"))
	require.Equal(t, gate.CodeInvalid, refresh("192.0.2.1"))
	require.Equal(t, gate.CodeRateLimited, refresh("192.0.2.1"))
	require.Equal(t, gate.CodeInvalid, refresh("192.0.2.2"))
	_, err := g.Admit(t.Context(), ask())
	status, _ := code(t, err)
	require.Equal(t, 429, status)
	p.err = errAway
	require.Equal(t, gate.CodeAuthUnavailable, refresh("192.0.2.1"), "what nobody can know is no failure")
	p.id, p.err = ann, nil
	require.Empty(t, refresh("192.0.2.1"), "what verifies passes")
}

// What failed just before addresses are sorted out anew still counts.
func TestFailureLimitOverGenerations(t *testing.T) {
	l := gate.NewFailureLimit(1)
	require.Zero(t, l.Fail("other", noon))
	require.Zero(t, l.Fail("192.0.2.1", noon.Add(59*time.Second)))
	require.Equal(t, 58*time.Second, l.Fail("192.0.2.1", noon.Add(61*time.Second)))
	require.Equal(t, time.Second, l.Fail("192.0.2.1", noon.Add(118*time.Second)))
	require.Zero(t, l.Fail("192.0.2.1", noon.Add(119*time.Second)))
}

// However many addresses fail, what is kept is bounded.
func TestFailureLimitIsBounded(t *testing.T) {
	l := gate.NewFailureLimit(1)
	for i := range 40_000 {
		l.Fail("h"+string(rune('a'+i%26))+time.Duration(i).String(), noon.Add(time.Duration(i)))
	}
	require.LessOrEqual(t, l.Len(), 1<<15)
	require.Zero(t, l.Fail(string(make([]byte, 1<<20)), noon))
	require.Positive(t, l.Fail(string(make([]byte, 1<<20)), noon), "of what is no address, the beginning")
}

func TestRefresh(t *testing.T) {
	held := gate.Held{Identity: ann, Party: "p", Room: "a/r"}
	for _, row := range []struct {
		name   string
		id     gate.Identity
		err    error
		config gate.GuardConfig
		held   gate.Identity
		code   string
	}{
		{"the same", ann, nil, gate.GuardConfig{}, ann, ""},
		{"another user", gate.Identity{UserID: "bob", OrgID: "org"}, nil, gate.GuardConfig{}, ann, gate.CodeInvalid},
		{"another organisation", gate.Identity{UserID: "ann", OrgID: "o2"}, nil, gate.GuardConfig{}, ann, gate.CodeInvalid},
		{"nobody", gate.Identity{}, nil, gate.GuardConfig{Public: true}, gate.Identity{}, gate.CodeInvalid},
		{"wrong", gate.Identity{}, gate.RefuseInvalid(), gate.GuardConfig{}, ann, gate.CodeInvalid},
		{"away", gate.Identity{}, errAway, gate.GuardConfig{}, ann, gate.CodeAuthUnavailable},
		{"refused", ann, nil, gate.GuardConfig{Authorizer: refuse(gate.RefuseRole())}, ann, gate.CodeRole},
		{"out of time", expired, nil, gate.GuardConfig{}, gate.Identity{UserID: "ann"}, gate.CodeExpired},
		{"public", ann, nil, gate.GuardConfig{Public: true}, ann, ""},
		{"public, wrong", gate.Identity{}, gate.RefuseInvalid(), gate.GuardConfig{Public: true}, ann, gate.CodeInvalid},
		{"public, out of time", expired, nil, gate.GuardConfig{Public: true}, gate.Identity{UserID: "ann"}, gate.CodeExpired},
		{"a ticket for another", astray, nil, gate.GuardConfig{Tickets: gate.TicketsToo}, gate.Identity{UserID: "ann"}, gate.CodeDenied},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.config.Authenticator = &people{id: row.id, err: row.err}
			h := held
			h.Identity = row.held
			d, err := guard(t, row.config).Refresh(t.Context(), h, "token")
			_, got := code(t, err)
			require.Equal(t, row.code, got)
			if row.code == "" {
				require.Equal(t, row.id, d.Identity)
				require.True(t, d.Write)
			}
		})
	}
	a := allow(gate.Decision{})
	p := &people{id: ann}
	_, err := guard(t, gate.GuardConfig{Authenticator: p, Authorizer: a, Tickets: gate.TicketsToo}).Refresh(t.Context(), held, "token")
	require.NoError(t, err)
	require.Equal(t, []gate.Ask{{Identity: ann, Party: "p", Room: "a/r"}}, a.asked)
	require.Nil(t, a.http[0])
	require.Equal(t, []gate.TicketMode{gate.TicketsToo}, p.tickets)
	_, err = guard(t, gate.GuardConfig{Public: true}).Refresh(t.Context(), held, "token")
	_, got := code(t, err)
	require.Equal(t, gate.CodeInvalid, got)
}

// verdicts are the codes of refusals, "" for those that are none.
func verdicts(vs []gate.Verdict) (codes []string) {
	for _, v := range vs {
		if v.Refusal == nil {
			codes = append(codes, "")
		} else {
			codes = append(codes, v.Refusal.Code)
		}
	}
	return codes
}

func heldBy(ids ...gate.Identity) (held []gate.Held) {
	for _, id := range ids {
		held = append(held, gate.Held{Identity: id, Party: "p", Room: "a/r"})
	}
	return held
}

func TestRecheckIdentities(t *testing.T) {
	jwtOver := gate.Identity{UserID: "j", Method: gate.MethodJWT, ExpiresAt: noon}
	ticketOver := gate.Identity{UserID: "t", Method: gate.MethodTicket, ExpiresAt: noon.Add(-1)}
	gone, thief := gate.Identity{UserID: "gone"}, gate.Identity{UserID: "thief"}
	p := &people{checked: func(id gate.Identity) gate.Checked {
		switch id.UserID {
		case "gone":
			return gate.Checked{Refusal: gate.RefuseInvalid()}
		case "thief":
			return gate.Checked{Identity: ann}
		case "unknown":
			return gate.Checked{Refusal: gate.RefuseAuthUnavailable()}
		}
		id.Roles, id.ExpiresAt, id.Scope = []string{"new"}, noon.Add(time.Hour), nil
		return gate.Checked{Identity: id}
	}}
	held := heldBy(expired, jwtOver, gone, thief, gate.Identity{}, ticketOver, astray, gate.Identity{UserID: "unknown"})

	g := guard(t, gate.GuardConfig{Authenticator: p, Tickets: gate.TicketsToo})
	got, err := g.Recheck(t.Context(), held)
	require.NoError(t, err)
	require.Equal(t, []string{
		"", gate.CodeExpired, gate.CodeInvalid, gate.CodeInvalid, gate.CodeMissing, gate.CodeExpired, gate.CodeDenied, gate.CodeAuthUnavailable,
	}, verdicts(got))
	require.Equal(t, []int{5}, p.batches, "one question about those that cannot be decided here")
	require.Equal(t, []string{"new"}, got[0].Decision.Identity.Roles, "as it is now")
	require.Equal(t, noon.Add(time.Hour), got[0].Decision.Until, "sessions slide")
	require.True(t, got[0].Decision.Write)

	// On a public party nobody has to be somebody.
	got, err = guard(t, gate.GuardConfig{Authenticator: p, Public: true, Tickets: gate.TicketsToo}).Recheck(t.Context(), held)
	require.NoError(t, err)
	require.Equal(t, []string{"", "", "", "", "", "", "", gate.CodeAuthUnavailable}, verdicts(got))
	require.Equal(t, "ann", got[0].Decision.Identity.UserID)
	for _, v := range got[1:7] {
		require.Equal(t, writes, v.Decision)
	}

	// Nobody is refused because nothing is known, but for what is known here.
	p.away = errAway
	got, err = g.Recheck(t.Context(), held)
	require.ErrorIs(t, err, errAway)
	unknown := gate.CodeAuthUnavailable
	require.Equal(t, []string{unknown, gate.CodeExpired, unknown, unknown, gate.CodeMissing, gate.CodeExpired, unknown, unknown}, verdicts(got))
	require.False(t, got[0].Known())
	require.True(t, got[1].Known())
	require.False(t, gate.Verdict{Refusal: gate.RefuseRateLimited(0)}.Known())

	got, err = guard(t, gate.GuardConfig{Authenticator: &short{}}).Recheck(t.Context(), heldBy(ann))
	require.Error(t, err)
	require.False(t, got[0].Known())
	got, err = g.Recheck(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, got)
}

// short is an Authenticator that answers less than it was asked.
type short struct{ people }

func (*short) Recheck(context.Context, []gate.Identity) ([]gate.Checked, error) { return nil, nil }

func TestRecheckAuthorizers(t *testing.T) {
	var ids []gate.Identity
	for _, name := range []string{"reader", "gone", "away", "panics", "over", "writer", "gone"} {
		ids = append(ids, gate.Identity{UserID: name})
	}
	decide := func(id gate.Identity, _ string) (gate.Decision, error) {
		switch id.UserID {
		case "gone":
			return gate.Decision{}, gate.RefuseNotFound()
		case "away":
			return gate.Decision{}, errAway
		case "panics":
			panic("made by a test")
		case "over":
			return gate.Decision{Until: noon}, nil
		}
		return gate.Decision{Write: id.UserID == "writer"}, nil
	}
	unknown := gate.CodeAccessUnavailable
	want := []string{"", gate.CodeNotFound, unknown, unknown, gate.CodeDenied, "", gate.CodeNotFound}

	one := &rule{decide: decide}
	got, err := guard(t, gate.GuardConfig{Authenticator: &people{}, Authorizer: one}).Recheck(t.Context(), heldBy(ids...))
	require.ErrorIs(t, err, errAway)
	require.Equal(t, want, verdicts(got))
	require.Equal(t, gate.Decision{Identity: ids[0]}, got[0].Decision)
	require.Equal(t, gate.Decision{Identity: ids[5], Write: true}, got[5].Decision)
	require.Len(t, one.asked, len(ids))
	require.Nil(t, one.http[0])

	calls := 0
	batch := &batchRule{all: func(asks []gate.Ask) (vs []gate.Verdict, err error) {
		calls++
		for _, a := range asks {
			var refusal *gate.Refusal
			if a.Identity.UserID == "panics" || a.Identity.UserID == "away" {
				vs = append(vs, gate.Verdict{Refusal: gate.RefuseAccessUnavailable()})
				continue
			}
			d, err := decide(a.Identity, a.Room)
			errors.As(err, &refusal)
			vs = append(vs, gate.Verdict{Decision: d, Refusal: refusal})
		}
		return vs, nil
	}}
	g := guard(t, gate.GuardConfig{Authenticator: &people{}, Authorizer: batch})
	got, err = g.Recheck(t.Context(), heldBy(ids...))
	require.NoError(t, err)
	require.Equal(t, want, verdicts(got))
	require.Equal(t, ids[5], got[5].Decision.Identity)
	require.Equal(t, 1, calls)

	all := batch.all
	for _, answer := range []func([]gate.Ask) ([]gate.Verdict, error){
		func([]gate.Ask) ([]gate.Verdict, error) { return nil, errAway },
		func(asks []gate.Ask) ([]gate.Verdict, error) { vs, err := all(asks); return vs[1:], err },
	} {
		batch.all = answer
		got, err = g.Recheck(t.Context(), heldBy(ids...))
		require.Error(t, err)
		require.Equal(t, slices.Repeat([]string{unknown}, len(ids)), verdicts(got))
	}
}

// Each refusal has the status that its close code and its clients go by, and a
// sentence without anything of the request.
func TestRefusals(t *testing.T) {
	for _, row := range []struct {
		refusal *gate.Refusal
		code    string
		status  int
		layer   gate.Layer
		close   int
	}{
		{gate.RefuseMissing(), "AUTH_MISSING", 401, gate.LayerAuthentication, 4401},
		{gate.RefuseInvalid(), "AUTH_INVALID", 401, gate.LayerAuthentication, 4401},
		{gate.RefuseExpired(), "AUTH_EXPIRED", 401, gate.LayerAuthentication, 4401},
		{gate.RefuseAmbiguous(), "AUTH_AMBIGUOUS", 400, gate.LayerAuthentication, 4400},
		{gate.RefuseRateLimited(0), "AUTH_RATE_LIMITED", 429, gate.LayerAuthentication, 4503},
		{gate.RefuseAuthUnavailable(), "AUTH_UNAVAILABLE", 503, gate.LayerAuthentication, 4503},
		{gate.RefuseRole(), "ACCESS_ROLE_REQUIRED", 403, gate.LayerAccess, 4403},
		{gate.RefuseCondition(), "ACCESS_CONDITION_FAILED", 403, gate.LayerAccess, 4403},
		{gate.RefuseDenied(), "ACCESS_DENIED", 403, gate.LayerAccess, 4403},
		{gate.RefuseFirewall(), "FIREWALL_NOT_FOUND", 403, gate.LayerFirewall, 4403},
		{gate.RefuseNotFound(), "NOT_FOUND", 404, gate.LayerFirewall, 4404},
		{gate.RefuseRoomID(), "ROOM_ID_INVALID", 400, gate.LayerValidation, 4400},
		{gate.RefuseAccessUnavailable(), "ACCESS_UNAVAILABLE", 503, gate.LayerAccess, 4503},
	} {
		require.Equal(t, row.code, row.refusal.Code)
		require.Equal(t, row.status, row.refusal.Status, row.code)
		require.Equal(t, row.layer, row.refusal.Layer, row.code)
		require.Equal(t, row.close, row.refusal.CloseCode(), row.code)
		require.NotEmpty(t, row.refusal.Message)
		require.Equal(t, row.status == 429 || row.status == 503, row.refusal.RetryAfter > 0, row.code)
	}
	require.Equal(t, time.Minute, gate.RefuseRateLimited(time.Minute).RetryAfter)
}

func TestSame(t *testing.T) {
	require.True(t, gate.Identity{}.Same(gate.Identity{}))
	require.True(t, ann.Same(gate.Identity{UserID: "ann", OrgID: "org", Roles: []string{"x"}, Method: gate.MethodSession}))
	require.False(t, ann.Same(gate.Identity{UserID: "ann"}))
	require.False(t, ann.Same(gate.Identity{OrgID: "org"}))
}

// A function is an Authorizer, and never asked about nobody.
func TestAuthorizerFunc(t *testing.T) {
	p := &people{id: ann}
	g := guard(t, gate.GuardConfig{Authenticator: p, Authorizer: gate.AuthorizerFunc(
		func(_ context.Context, id gate.Identity, r *gate.Request) (gate.Decision, error) {
			return gate.Decision{Write: id.OrgID == "org" && r.Room == "a/r"}, nil
		})})
	d, err := g.Admit(t.Context(), ask())
	require.NoError(t, err)
	require.True(t, d.Write)
	p.id = gate.Identity{}
	_, err = g.Admit(t.Context(), ask())
	_, got := code(t, err)
	require.Equal(t, gate.CodeMissing, got)
}

package identity_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

// issuer is a server with keys, that tests disturb.
type issuer struct {
	*httptest.Server
	asked atomic.Int64
	set   atomic.Pointer[http.HandlerFunc]
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		(*i.set.Load())(w, r)
	}))
	t.Cleanup(i.Close)
	return i
}

// answers sets what the issuer does.
func (i *issuer) answers(h http.HandlerFunc) { i.set.Store(&h) }

// has sets the issuer's keys.
func (i *issuer) has(set []byte) {
	i.answers(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) })
}

// fails makes the issuer be away.
func (i *issuer) fails() {
	i.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
}

// server is an authenticator that believes the issuer.
func (i *issuer) server(t *testing.T) *app {
	t.Helper()
	a := &app{tb: t, clock: newClock()}
	c := a.configure()
	c.DB, c.JWT.Algorithms, c.JWT.JWKSURL = nil, []string{"RS256", "ES256"}, i.URL+"/jwks"
	a.started(c)
	return a
}

// byRSA and byEC are tokens of keys with those kids.
func byRSA(t *testing.T, kid string) request {
	t.Helper()
	return withBearer(mintedBy(t, jwt.SigningMethodRS256, rsaKey(), claims(jwt.MapClaims{"exp": start.Add(24 * time.Hour).Unix()}), "kid", kid))
}

func byEC(t *testing.T, kid string) request {
	t.Helper()
	return withBearer(mintedBy(t, jwt.SigningMethodES256, ecKey(), claims(jwt.MapClaims{"exp": start.Add(24 * time.Hour).Unix()}), "kid", kid))
}

// TestIssuerRotates: an unknown key is asked for, at most once a minute; one that the issuer took back goes.
func TestIssuerRotates(t *testing.T) {
	i := newIssuer(t)
	i.has(keySet(t, jwk(t, rsaKey().Public(), "one", nil)))
	a := i.server(t)
	require.EqualValues(t, 1, i.asked.Load(), "at the start")
	a.is(byRSA(t, "one"), "ann")
	for range 100 {
		a.is(byRSA(t, "one"), "ann")
		a.refused(byEC(t, "two"), gate.CodeInvalid)
	}
	require.EqualValues(t, 1, i.asked.Load(), "the issuer answered a moment ago")

	i.has(keySet(t, jwk(t, rsaKey().Public(), "one", nil), jwk(t, ecKey().Public(), "two", nil)))
	a.clock.Add(identity.MinKeyAge)
	a.is(byEC(t, "two"), "ann")
	require.EqualValues(t, 2, i.asked.Load())
	a.is(byRSA(t, "one"), "ann")
	for range 100 {
		a.refused(byEC(t, "three"), gate.CodeInvalid)
	}
	require.EqualValues(t, 2, i.asked.Load())

	i.has(keySet(t, jwk(t, ecKey().Public(), "two", nil)))
	a.clock.Add(identity.MaxKeyAge + 1)
	a.is(byRSA(t, "one"), "ann") // by what is known, and asks for the next
	a.auth.Renewing()
	require.EqualValues(t, 3, i.asked.Load())
	a.refused(byRSA(t, "one"), gate.CodeInvalid)
	a.is(byEC(t, "two"), "ann")

	i.has([]byte(`{"keys":[]}`))
	a.clock.Add(identity.MaxKeyAge + 1)
	a.is(byEC(t, "two"), "ann")
	a.auth.Renewing()
	a.refused(byEC(t, "two"), gate.CodeInvalid) // an issuer may take back all of them
}

// TestIssuerAway: what is known counts on, what is not known is 503, and the issuer is not hammered.
func TestIssuerAway(t *testing.T) {
	i := newIssuer(t)
	i.has(keySet(t, jwk(t, rsaKey().Public(), "one", nil)))
	a := i.server(t)
	i.fails()
	a.clock.Add(time.Hour)
	for range 100 {
		a.is(byRSA(t, "one"), "ann")
		a.auth.Renewing()
		a.refused(byEC(t, "two"), gate.CodeAuthUnavailable)
		a.is(byRSA(t, "one"), "ann")
		a.auth.Renewing()
	}
	require.EqualValues(t, 2, i.asked.Load(), "no time passes, and nobody asks")
	a.refused(withBearer("eyJ.x.y"), gate.CodeInvalid) // what needs no key to be refused

	i.has(keySet(t, jwk(t, ecKey().Public(), "two", nil)))
	a.clock.Add(identity.LastBackoff)
	a.is(byEC(t, "two"), "ann")
	a.refused(byRSA(t, "one"), gate.CodeInvalid)
}

// TestIssuerNeverThere: a server starts without its issuer, and answers 503 until it is there.
func TestIssuerNeverThere(t *testing.T) {
	i := newIssuer(t)
	i.fails()
	a := i.server(t)
	for range 100 {
		a.refused(byRSA(t, "one"), gate.CodeAuthUnavailable)
	}
	require.EqualValues(t, 1, i.asked.Load())
	for n := range 20 { // the back-off grows, to a second
		a.clock.Add(identity.LastBackoff)
		a.refused(byRSA(t, "one"), gate.CodeAuthUnavailable)
		require.EqualValues(t, 2+n, i.asked.Load())
	}
	i.has(keySet(t, jwk(t, rsaKey().Public(), "one", nil)))
	a.clock.Add(identity.LastBackoff)
	a.is(byRSA(t, "one"), "ann")
}

// TestIssuerAnswers has answers that are no key set of the issuer: what is known counts on.
func TestIssuerAnswers(t *testing.T) {
	other := newIssuer(t)
	other.has(keySet(t, jwk(t, ecKey().Public(), "two", nil)))
	set := keySet(t, jwk(t, ecKey().Public(), "two", nil))
	write := func(data []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) }
	}
	for _, row := range []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) }},
		{"redirect for good", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusPermanentRedirect)
		}},
		{"too long", write(append([]byte(strings.Repeat(" ", identity.MaxKeySet+1-len(set))), set...))},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}},
		{"another status", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNonAuthoritativeInfo)
			_, _ = w.Write(set)
		}},
		{"no JSON", write([]byte("<html>"))},
		{"no keys", write([]byte(`{}`))},
		{"null keys", write([]byte(`{"keys":null}`))},
		{"cut off", write(set[:len(set)-1])},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			i := newIssuer(t)
			i.has(keySet(t, jwk(t, rsaKey().Public(), "one", nil)))
			a := i.server(t)
			i.answers(row.answer)
			a.clock.Add(time.Hour)
			a.refused(byEC(t, "two"), gate.CodeAuthUnavailable)
			a.is(byRSA(t, "one"), "ann")
			require.Zero(t, other.asked.Load(), "no redirect is followed")
		})
	}
	i := newIssuer(t)
	i.answers(write(append([]byte(strings.Repeat(" ", identity.MaxKeySet-len(set))), set...)))
	i.server(t).is(byEC(t, "two"), "ann") // as long as it may be
}

// TestIssuerSlow: who waits for an issuer waits as long as its request lasts, all wait for one answer, those whose key
// is known do not wait, and Close ends it.
func TestIssuerSlow(t *testing.T) {
	i := newIssuer(t)
	set := keySet(t, jwk(t, rsaKey().Public(), "one", nil))
	i.has(set)
	a := i.server(t)
	entered, release := make(chan struct{}, 100), make(chan struct{})
	i.answers(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		select {
		case <-release:
			_, _ = w.Write(keySet(t, jwk(t, rsaKey().Public(), "one", nil), jwk(t, ecKey().Public(), "two", nil)))
		case <-r.Context().Done():
		}
	})
	a.clock.Add(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	impatient := make(chan error, 1)
	waiting.Go(func() {
		_, err := a.auth.Authenticate(ctx, byEC(t, "two").caller(), gate.TicketsRefused)
		impatient <- err
	})
	<-entered
	cancel()
	requireRefusal(t, gate.CodeAuthUnavailable, <-impatient)
	a.is(byRSA(t, "one"), "ann")
	errs := make([]error, 20)
	for n := range errs {
		waiting.Go(func() {
			_, errs[n] = a.auth.Authenticate(t.Context(), byEC(t, "two").caller(), gate.TicketsRefused)
		})
	}
	close(release)
	waiting.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.EqualValues(t, 2, i.asked.Load(), "all waited for one answer")

	hang := make(chan struct{})
	defer close(hang)
	i.answers(func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	a.clock.Add(time.Hour)
	a.is(byRSA(t, "one"), "ann")
	<-entered
	a.auth.Close() // does not wait for the issuer
	a.refused(byEC(t, "three"), gate.CodeAuthUnavailable)
	a.is(byRSA(t, "one"), "ann")
}

// TestIssuerTimeout: an issuer that does not answer is away.
func TestIssuerTimeout(t *testing.T) {
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		deadline, ok := r.Context().Deadline()
		require.True(t, ok)
		require.LessOrEqual(t, time.Until(deadline), identity.KeysTimeout)
		return nil, context.DeadlineExceeded
	})}
	a := &app{tb: t, clock: newClock()}
	c := a.configure()
	c.DB, c.HTTP, c.JWT.Algorithms, c.JWT.JWKSURL = nil, client, []string{"RS256"}, "https://issuer.example/jwks"
	a.started(c)
	a.refused(byRSA(t, "one"), gate.CodeAuthUnavailable)
	require.Zero(t, client.Timeout, "the client that was given is as it was")
	require.Nil(t, client.CheckRedirect)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestIssuerFile: a file is read again like a URL is asked again.
func TestIssuerFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "jwks.json")
	require.NoError(t, os.WriteFile(name, keySet(t, jwk(t, rsaKey().Public(), "one", nil)), 0o600))
	a := &app{tb: t, clock: newClock()}
	c := a.configure()
	c.DB, c.JWT.Algorithms, c.JWT.JWKSFile = nil, []string{"RS256", "ES256"}, name
	a.started(c)
	a.is(byRSA(t, "one"), "ann")
	require.NoError(t, os.WriteFile(name, keySet(t, jwk(t, ecKey().Public(), "two", nil)), 0o600))
	a.refused(byEC(t, "two"), gate.CodeInvalid)
	a.clock.Add(identity.MinKeyAge)
	a.is(byEC(t, "two"), "ann")
	require.NoError(t, os.Remove(name))
	a.clock.Add(time.Hour)
	a.is(byEC(t, "two"), "ann")
	a.refused(byRSA(t, "one"), gate.CodeAuthUnavailable)
}

// TestIssuerTriesFew: a token that names no key does not make the server try hundreds.
func TestIssuerTriesFew(t *testing.T) {
	var keys []map[string]any
	for range 8 {
		keys = append(keys, jwk(t, rsaOther().Public(), "", nil))
	}
	without := mintedBy(t, jwt.SigningMethodRS256, rsaKey(), claims(nil))
	full := withKeyFile(t, keySet(t, append(keys, jwk(t, rsaKey().Public(), "", nil))...), "RS256")
	full.refused(withBearer(without), gate.CodeInvalid)
	fits := withKeyFile(t, keySet(t, append(keys[:7], jwk(t, rsaKey().Public(), "", nil))...), "RS256")
	fits.is(withBearer(without), "ann")
}

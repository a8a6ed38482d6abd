package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/yserverd/yserverd/gate"
)

// tokenKey is where a request's context has its token.
type tokenKey struct{}

// tokenOf returns who makes a request that authenticate let through.
func tokenOf(ctx context.Context) *Token {
	t, _ := ctx.Value(tokenKey{}).(*Token)
	return t
}

// authenticate returns whose token a request has, or nil and what to answer.
func (a *API) authenticate(r *http.Request) (*Token, *Error) {
	presented, ok := bearer(r)
	if ok {
		if t := find(a.cfg.Tokens, presented); t != nil {
			return t, nil
		}
	}
	if wait := a.failures.add(a.cfg.ClientAddr(r), a.cfg.Now()); wait > 0 {
		return nil, &Error{
			status: http.StatusTooManyRequests, Layer: gate.LayerAuthentication, Code: "AUTH_RATE_LIMITED",
			Message: "too many wrong tokens came from this address", retry: wait,
		}
	}
	e := &Error{
		status: http.StatusUnauthorized, Layer: gate.LayerAuthentication, Code: "AUTH_INVALID", Message: "the admin token is not one of this server's",
		Hint: "the configuration has the SHA-256 of each token in admin.tokens",
	}
	if !ok {
		e.Code, e.Message, e.Hint = "AUTH_MISSING", "this needs an admin token", "send Authorization: Bearer <token>"
	}
	return nil, e
}

// bearer returns the token of a request. One that came twice is none.
func bearer(r *http.Request) (string, bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}

// find compares with every token, so that the time it takes says nothing.
func find(tokens []Token, presented string) (found *Token) {
	digest := sha256.Sum256([]byte(presented))
	for i := range tokens {
		if subtle.ConstantTimeCompare(digest[:], tokens[i].SHA256[:]) == 1 {
			found = &tokens[i]
		}
	}
	return found
}

// maxAddresses is of how many addresses failures are remembered. Over it all of them are forgotten: that lets nobody in.
const maxAddresses = 10_000

// failures counts wrong tokens by address, in windows of a minute.
type failures struct {
	limit int // negative: none

	mu    sync.Mutex
	since time.Time // the window that is counted
	by    map[string]int
}

// add counts one. When the address had its share it returns how long that lasts.
func (f *failures) add(address string, now time.Time) (wait time.Duration) {
	if f.limit < 0 {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if passed := now.Sub(f.since); passed >= time.Minute || passed < 0 || len(f.by) >= maxAddresses {
		f.since, f.by = now, make(map[string]int)
	}
	key := network(address)
	if f.by[key] >= f.limit {
		return time.Minute - now.Sub(f.since)
	}
	f.by[key]++
	return 0
}

// network is what of an address belongs to one client: of IPv6 the first 64 bits.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if ap, portErr := netip.ParseAddrPort(address); err != nil && portErr == nil {
		a, err = ap.Addr(), nil
	}
	if err != nil {
		return address
	}
	if a = a.Unmap().WithZone(""); a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

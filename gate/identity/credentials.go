package identity

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/yserverd/yserverd/gate"
)

// ticketParameter is the parameter of the query that has a ticket.
const ticketParameter = "ws_ticket"

// credential is one that a request has.
type credential struct {
	present bool
	value   string
	broken  bool // it is there, but nobody can say what it is: twice, or not decodable
}

// set takes a value. A second one breaks the credential: which one counts is not for us to choose, since somebody in
// front of us may have chosen the other.
func (c *credential) set(value string, broken bool) {
	c.broken = c.broken || broken || c.present
	c.present, c.value = true, value
}

// explicit are the explicit credentials of a request, by kind.
type explicit struct{ key, bearer, ticket credential }

// readExplicit finds the explicit credentials. It is a *gate.Refusal when there is more than one kind, or more than one
// of a kind in one place.
func (c APIKeyConfig) readExplicit(r *http.Request) (e explicit, err error) {
	for _, v := range r.Header.Values(c.Header) {
		e.key.set(v, false)
	}
	for _, v := range r.Header.Values("Authorization") {
		e.bearer.set(v, false)
	}
	byName := make([]credential, len(c.Query))
	scanQuery(r.URL.RawQuery, func(name, value string, broken bool) {
		if i := slices.Index(c.Query, name); i >= 0 {
			byName[i].set(value, broken)
		}
		if name == ticketParameter {
			e.ticket.set(value, broken)
		}
	})
	for _, q := range byName {
		if q.present && !e.key.present {
			e.key = q
		}
	}
	kinds, doubled := 0, false
	for _, k := range []credential{e.key, e.bearer, e.ticket} {
		if k.present {
			kinds++
			doubled = doubled || k.broken
		}
	}
	switch {
	case kinds > 1:
		return e, gate.RefuseAmbiguous()
	case doubled:
		return e, gate.RefuseInvalid()
	}
	return e, nil
}

// scanQuery hands out the parameters of a query whose names can be decoded. Unlike url.ParseQuery it does not drop one
// whose value cannot: a credential that nobody can read is still one.
func scanQuery(raw string, found func(name, value string, broken bool)) {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			continue
		}
		decoded, err := url.QueryUnescape(value)
		found(name, decoded, err != nil || strings.Contains(pair, ";"))
	}
}

// bearerToken returns the token of an Authorization header.
func bearerToken(header string) (token string, ok bool) {
	scheme, token, ok := strings.Cut(strings.TrimSpace(header), " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != "" && !strings.ContainsAny(token, " ,")
}

// looksLikeJWT tells JWTs from session tokens: a JWT is three parts, of which the first is an object in base64url.
func looksLikeJWT(token string) bool {
	return strings.HasPrefix(token, "eyJ") && strings.Count(token, ".") >= 2
}

package identity_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/identity"
)

// FuzzCookie: whatever a cookie has, it opens only to the token that was signed, and the signature is part of it.
func FuzzCookie(f *testing.F) {
	f.Add(identity.Cookie("q3rFkXw8dZ0bT5nVj1LmYcPa7sHuEi2G", secret))
	f.Add(identity.Signed("a.b", secret))
	f.Add("token.")
	f.Add("%.%zz=")
	f.Add("\xff.\x00")
	f.Fuzz(func(t *testing.T, value string) {
		token, ok := identity.OpenCookie(value, secret)
		if !ok {
			require.Empty(t, token)
			// What is signed here opens, whatever it is.
			if value != "" && len(value) < identity.MaxToken/2 {
				again, ok := identity.OpenCookie(identity.Cookie(value, secret), secret)
				require.True(t, ok)
				require.Equal(t, value, again)
			}
			return
		}
		_, other := identity.OpenCookie(value, []byte("another secret of at least 32 bytes."))
		require.False(t, other)
		_, changed := identity.OpenCookie("x"+value, secret)
		require.False(t, changed)
	})
}

// FuzzBearer: a JWT entry point, and what tells JWTs, session tokens and tickets apart.
func FuzzBearer(f *testing.F) {
	a := newOffline(f)
	good := minted(f, secret, claims(nil))
	f.Add("Bearer " + good)
	f.Add("bearer " + a.issue(identity.IssueOptions{}))
	f.Add("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.")
	f.Add("Bearer eyJ..")
	f.Add("Basic YTpi")
	f.Add("Bearer " + minted(f, secret, claims(jwt.MapClaims{"role": []any{"a"}, "exp": 1e300})))
	f.Fuzz(func(t *testing.T, header string) {
		id, err := a.auth.Authenticate(t.Context(), request{headers: []string{"Authorization", header}}.caller(), gate.TicketsRefused)
		if err == nil {
			token, ok := identity.BearerToken(header)
			require.True(t, ok)
			require.True(t, identity.LooksLikeJWT(token))
			require.False(t, identity.IsTicket(token))
			parser := jwt.NewParser(jwt.WithoutClaimsValidation())
			_, err := parser.Parse(token, func(*jwt.Token) (any, error) { return secret, nil })
			require.NoError(t, err, "nobody else signed it")
			require.True(t, id.Authenticated())
			return
		}
		require.Equal(t, gate.Identity{}, id)
		var refusal *gate.Refusal
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, 401, refusal.Status, "without a backend there is nothing to wait for")
	})
}

// FuzzJWTClaims: claims that the secret signed make an identity that a database takes, or none.
func FuzzJWTClaims(f *testing.F) {
	a := newOffline(f)
	f.Add(`{"sub":"ann","exp":1777899600}`)
	f.Add(`{"sub":"ann","exp":1e308,"orgId":"o","role":["a",1,null,{}],"name":"\u0000"}`)
	f.Add(`{"sub":"ann","exp":-1,"nbf":"x"}`)
	f.Add(`[]`)
	f.Add(`{"sub":"\ud800","exp":1777899600.5,"aud":{}}`)
	f.Fuzz(func(t *testing.T, payload string) {
		var raw json.RawMessage
		if json.Unmarshal([]byte(payload), &raw) != nil {
			return
		}
		var object jwt.MapClaims
		if json.Unmarshal(raw, &object) != nil || object == nil {
			return
		}
		token := minted(t, secret, object)
		id, err := a.auth.Refresh(t.Context(), token, gate.TicketsRefused)
		if err != nil {
			return
		}
		require.True(t, id.Authenticated())
		require.False(t, id.ExpiresAt.IsZero())
		require.True(t, id.ExpiresAt.After(a.clock.Now()), "it has not ended")
		for _, s := range append([]string{id.UserID, id.OrgID, id.Name, id.UserRole}, id.Roles...) {
			require.True(t, utf8.ValidString(s))
		}
		require.NotContains(t, id.UserID+id.OrgID, "\x00")
	})
}

// FuzzTicket: a token is a ticket only if the tickets' key signed it.
func FuzzTicket(f *testing.F) {
	a := newOffline(f)
	f.Add(a.issue(identity.IssueOptions{}))
	f.Add(a.issue(identity.IssueOptions{Rooms: []string{"main/a", "main/b"}}))
	f.Add(minted(f, secret, claims(nil), "typ", identity.TicketType))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		ticket, err := a.auth.Issuer().Verify(t.Context(), token)
		if err != nil {
			require.Equal(t, identity.Ticket{}, ticket)
			return
		}
		require.True(t, identity.IsTicket(token))
		require.Equal(t, gate.MethodTicket, ticket.Identity.Method)
		_, err = a.auth.Refresh(t.Context(), token, gate.TicketsRefused)
		require.Error(t, err, "it is no JWT")
	})
}

// FuzzMetadata: an organisation is what a JSON parser says it is.
func FuzzMetadata(f *testing.F) {
	f.Add(`{"organizationId":"org_1"}`)
	f.Add(`"{\"organizationId\":\"org_1\"}"`)
	f.Add(`{"organizationId":{"organizationId":"x"}}`)
	f.Add(strings.Repeat(`[`, 1000))
	f.Add(`{"organizationId":"\u0000"}`)
	f.Fuzz(func(t *testing.T, metadata string) {
		org := identity.MetadataOrg(metadata)
		require.True(t, utf8.ValidString(org))
		require.NotContains(t, org, "\x00")
		if org == "" {
			return
		}
		var inner string
		if json.Unmarshal([]byte(metadata), &inner) == nil {
			metadata = inner
		}
		var object map[string]any
		require.NoError(t, json.Unmarshal([]byte(metadata), &object))
		require.Equal(t, object["organizationId"], org)
	})
}

// FuzzQuery: no credential of a query is overlooked that a lenient reader would see.
func FuzzQuery(f *testing.F) {
	f.Add("api_key=a&key=b&ws_ticket=c")
	f.Add("key=%zz&key")
	f.Add("a=1;key=x")
	f.Add("&&==&%6Bey=%61")
	f.Fuzz(func(t *testing.T, raw string) {
		a := request{query: raw}.caller()
		seen := map[string][]string{}
		identity.ScanQueryOnly(raw, func(name, value string, broken bool) {
			if !broken {
				seen[name] = append(seen[name], value)
			}
		})
		for name, values := range a.HTTP.URL.Query() {
			if name == "" {
				continue // nobody asks for it, and empty pairs count here
			}
			require.Equal(t, values, seen[name])
		}
	})
}

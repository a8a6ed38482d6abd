package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/gate/identity"
)

// TestAuthProblems has auth of a file with a database for each mistake, from line 2 on.
func TestAuthProblems(t *testing.T) {
	const digestMessage = `want the SHA-256 of the secret as 64 hex digits: printf %s "$SECRET" | sha256sum`
	for _, row := range []struct{ name, auth, want string }{
		{"a short secret", "secret: hunter2", "2: auth.secret: is too short: want at least 32 bytes: head -c 32 /dev/urandom | base64"},
		{"a secret that is a number", "secret: 4711", "2: auth.secret: want a text (quote it if it looks like a number), got something else"},
		{"unknown key", "jwt:\n    algorithm: [HS256]", "3: auth.jwt.algorithm: unknown key, did you mean algorithms?"},
		{"unknown algorithm", "jwt:\n    algorithms:\n      - HS256\n      - none", "5: auth.jwt.algorithms[1]: there is no algorithm \"none\": use HS256, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA"},
		{"keys of an issuer without the issuer", "jwt: {algorithms: [EdDSA]}", "2: auth.jwt.algorithms[0]: EdDSA needs the issuer's keys: set jwks_url or jwks_file"},
		{"an issuer without its algorithm", "jwt: {jwks_url: 'https://login.example/keys'}", "2: auth.jwt.algorithms: no algorithm uses the issuer's keys: add the issuer's algorithm, such as RS256"},
		{"keys at no URL", "jwt: {algorithms: [RS256], jwks_url: login.example}", "2: auth.jwt.jwks_url: this is no http or https URL: write it as https://host/path"},
		{"a cookie with a space", "session: {cookie: 'a b'}", "2: auth.session.cookie: want the name of a cookie"},
		{"a header with a colon", "api_keys: {header: 'x:y'}", "2: auth.api_keys.header: want the name of a header, such as x-api-key"},
		{"a query parameter that is none", "api_keys:\n    query:\n      - a\n      - b=c", "5: auth.api_keys.query[1]: want the name of a query parameter, such as api_key"},
		{"a column of no name", "session:\n    columns: {userId: ''}", "3: auth.session.columns.userId: the column has no name: leave it out, or say what it is called"},
		{"columns that are a list", "session:\n    columns: [userId]", "3: auth.session.columns: want a mapping, got a list"},
		{"a key itself", "api_keys:\n    static:\n      - {sha256: hunter2, user: u}", "4: auth.api_keys.static[0].sha256: " + digestMessage},
		{"a key that is a text", "api_keys:\n    static:\n      - hunter2", "4: auth.api_keys.static[0]: want a mapping, got text"},
		{"a key of nobody", "api_keys:\n    static:\n      - sha256: " + digest, "4: auth.api_keys.static[0].user: the key is nobody's: name the user that the key stands for"},
		{"a key twice", "api_keys:\n    static:\n      - {sha256: " + digest + ", user: u}\n      - {sha256: " + digest + ", user: v}", "5: auth.api_keys.static[1].sha256: the key is there twice: remove one of them"},
		{"a key of another organisation", "pinned_org: o1\n  api_keys:\n    static:\n      - {sha256: " + digest + ", user: u, org: o2}", "5: auth.api_keys.static[0].org: the key is of another organisation than the pinned one: leave org out, or name the pinned one"},
		{"a role twice", "role_hierarchy: [a,\n    b, a]", "3: auth.role_hierarchy[2]: role \"a\" is in the hierarchy twice: remove one of them"},
		{"a role of everybody", "role_hierarchy: [PUBLIC]", "2: auth.role_hierarchy[0]: \"PUBLIC\" cannot be a role of the hierarchy: use a name that is not PUBLIC and has no \"+\" at its end"},
		{"no grace", "refresh_grace: 0", "2: auth.refresh_grace: want more than 0"},
		{"a negative recheck", "recheck: -1m", "2: auth.recheck: want a duration such as 500ms, 20s or 5m, got \"-1m\""},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := parse("auth:\n  "+row.auth+"\n"+minimal, "YSERVERD_DATABASE_URL=postgres://u@h/app")
			require.Error(t, err)
			want := strings.Split("y.yaml:"+strings.ReplaceAll(row.want, "\n", "\ny.yaml:"), "\n")
			require.ElementsMatch(t, want, strings.Split(err.Error(), "\n"))
			require.NotContains(t, err.Error(), "hunter2", "a secret in an error")
		})
	}
}

// TestTablesNeedADatabase: what the file says of tables takes a database, and what it does not say takes none.
func TestTablesNeedADatabase(t *testing.T) {
	for _, row := range []struct{ auth, want string }{
		{"session: {enabled: true}", "auth.session.enabled: takes a database: want database.url, or store.url"},
		{"session: {table: sessions}", "auth.session.table: "},
		{"session: {columns: {userId: user_id}}", "auth.session.columns.userId: "},
		{"api_keys: {table: keys}", "auth.api_keys.table: "},
	} {
		_, err := parse("auth:\n  " + row.auth + "\n" + minimal)
		require.ErrorContains(t, err, "y.yaml:2: "+row.want)
		_, err = parse("auth:\n  "+row.auth+"\n"+minimal, "YSERVERD_STORE_URL=postgres://u@h/db")
		require.NoError(t, err, row.auth)
	}
	_, err := parse("auth: {session: {enabled: false, cookie: sid}, api_keys: {header: x-key}}\n" + minimal)
	require.NoError(t, err)
}

// TestSecureCookies: the cookie's name depends on what browsers see.
func TestSecureCookies(t *testing.T) {
	for url, secure := range map[string]bool{"": false, "http://docs.example": false, "https://docs.example": true, "HTTPS://docs.example/yjs": true} {
		c, err := parse("public_url: '" + url + "'\n" + minimal)
		require.NoError(t, err)
		require.Equal(t, secure, c.Identity().Secure, url)
	}
}

// TestIdentity has a value of its own for every key, so that none can be forgotten or confused with another.
func TestIdentity(t *testing.T) {
	columns, keyColumns := config.Names{"a": "b"}, config.Names{"c": "d"}
	c := &config.Config{Auth: config.Auth{
		Secret: "s", PinnedOrg: "o",
		JWT: config.JWT{
			Algorithms: []string{"A"}, JWKSURL: "u", JWKSFile: "f", Issuer: "i", Audience: "a", Leeway: 1,
			Claims: config.Claims{User: "cu", Org: "co", Roles: "cr", Name: "cn", UserRole: "cl"},
		},
		Session: config.Session{
			Enabled: true, Cookie: "c", Table: "t", MembershipTable: "m", UserTable: "ut", Columns: columns, Named: map[string]bool{"n": true},
		},
		APIKeys: config.APIKeys{
			Header: "h", Query: []string{"q"}, Table: "kt", Columns: keyColumns, Named: map[string]bool{"k": true},
			Static: []config.StaticKey{{SHA256: [32]byte{1}, User: "su", Org: "so", Roles: []string{"sr"}, Name: "sn"}},
		},
	}}
	require.Equal(t, identity.Config{
		Secret: []byte("s"), PinnedOrg: "o",
		JWT: identity.JWTConfig{
			Algorithms: []string{"A"}, JWKSURL: "u", JWKSFile: "f", Issuer: "i", Audience: "a", Leeway: 1,
			Claims: identity.ClaimNames{User: "cu", Org: "co", Roles: "cr", Name: "cn", UserRole: "cl"},
		},
		Session: identity.SessionConfig{
			Enabled: true, Cookie: "c", Table: "t", MembershipTable: "m", UserTable: "ut", Columns: columns, Named: map[string]bool{"n": true},
		},
		APIKeys: identity.APIKeyConfig{
			Header: "h", Query: []string{"q"}, Table: "kt", Columns: keyColumns, Named: map[string]bool{"k": true},
			Static: []identity.StaticKey{{SHA256: [32]byte{1}, UserID: "su", OrgID: "so", Roles: []string{"sr"}, Name: "sn"}},
		},
	}, c.Identity())
}

// TestKeysOfAFile: the issuer's keys are looked at, not only asked for.
func TestKeysOfAFile(t *testing.T) {
	_, err := parse("auth: {jwt: {algorithms: [RS256], jwks_file: none.json}}\n" + minimal)
	require.ErrorContains(t, err, "y.yaml:1: auth.jwt.jwks_file: the issuer's keys cannot be read: ")
	_, err = parse("auth: {jwt: {algorithms: [RS256], jwks_file: none.json, jwks_url: 'https://login.example/keys'}}\n" + minimal)
	require.ErrorContains(t, err, "y.yaml:1: auth.jwt.jwks_file: the issuer's keys are in jwks_url or in jwks_file, not in both: remove one of them")
}

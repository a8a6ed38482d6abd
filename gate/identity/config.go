package identity

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// minSecret is the shortest secret, in bytes: as long as the digests that are made with it.
const minSecret = 32

// Config is what an Authenticator is made of.
type Config struct {
	// Secret signs HS256 JWTs, session cookies and, by a key derived from it, tickets. At least 32 bytes. It may be
	// empty when nothing of that is used.
	Secret []byte
	// Secure says that the server's public URL is https: the session cookie has its "__Secure-" name then, and only then.
	Secure  bool
	JWT     JWTConfig
	Session SessionConfig
	APIKeys APIKeyConfig
	// Tickets verifies tickets. Nil means one made of Secret, with a ttl of a minute, whose tickets may be used again.
	Tickets *Issuer
	// PinnedOrg is the organisation of every identity. Roles count where they are roles in that one. Empty means none.
	PinnedOrg string
	// DB has the tables. Nil means that sessions, and keys but the static ones, are off.
	DB Querier
	// Clock is for tests. Nil means time.Now.
	Clock func() time.Time
	// Log gets a line for each method that is off, and for an issuer of keys that cannot be asked. Nil means none.
	Log *slog.Logger
	// HTTP asks for the issuer's keys. Its redirects and timeout are set here. Nil means a client of its own.
	HTTP *http.Client
}

// Querier is a database that is read, such as a *pgxpool.Pool. It is used concurrently.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// JWTConfig says which JWTs are believed.
type JWTConfig struct {
	// Algorithms is the allow-list: HS256 with the secret; RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384,
	// ES512 and EdDSA with the issuer's keys. Empty means that JWTs are off.
	Algorithms []string
	JWKSURL    string // where the issuer's keys are, http or https
	JWKSFile   string // or the file that they are in
	Issuer     string // "iss" must be this. Empty means any.
	Audience   string // "aud" must have this. Empty means any.
	Leeway     time.Duration
	Claims     ClaimNames
}

// ClaimNames are the claims that make an identity. Empty means the default that the comment gives.
type ClaimNames struct {
	User     string // sub: a string, and required
	Org      string // orgId
	Roles    string // role: a string, with commas between roles, or an array of strings
	Name     string // name
	UserRole string // userRole
}

func (n ClaimNames) withDefaults() ClaimNames {
	for name, or := range map[*string]string{&n.User: "sub", &n.Org: "orgId", &n.Roles: "role", &n.Name: "name", &n.UserRole: "userRole"} {
		if *name == "" {
			*name = or
		}
	}
	return n
}

// SessionConfig says where better-auth has its sessions.
type SessionConfig struct {
	Enabled bool
	Cookie  string // Empty means better-auth.session_token.
	// Table, MembershipTable and UserTable are "name" or "schema.name". Empty means session, member and user.
	Table, MembershipTable, UserTable string
	// Columns names columns that are called otherwise. A key is better-auth's name of a column, in every one of the
	// three tables that has it ("userId"), or in one of them: "session.userId", "member.userId", "user.id". Whatever it
	// names must be there.
	Columns map[string]string
	// Named says which of "table", "membership_table" and "user_table" somebody wrote down: that must be there, even if
	// it is the default. Another name than the default always must.
	Named map[string]bool
}

func (c SessionConfig) withDefaults() SessionConfig {
	for name, or := range map[*string]string{&c.Cookie: "better-auth.session_token", &c.Table: "session", &c.MembershipTable: "member", &c.UserTable: "user"} {
		if *name == "" {
			*name = or
		}
	}
	return c
}

// APIKeyConfig says where API keys are read, and which are good.
type APIKeyConfig struct {
	Header string   // Empty means x-api-key.
	Query  []string // parameters of the query, in order. Nil means api_key and key.
	Table  string   // of better-auth's plugin. Empty means apikey.
	// Columns and Named are as those of SessionConfig. The user and member tables are those of SessionConfig.
	Columns map[string]string
	Named   map[string]bool
	Static  []StaticKey
}

func (c APIKeyConfig) withDefaults() APIKeyConfig {
	if c.Header == "" {
		c.Header = "x-api-key"
	}
	if c.Query == nil {
		c.Query = []string{"api_key", "key"}
	}
	if c.Table == "" {
		c.Table = "apikey"
	}
	return c
}

// StaticKey is a key of the configuration, known by its digest.
type StaticKey struct {
	SHA256 [sha256.Size]byte // of the key
	UserID string            // required
	OrgID  string
	Roles  []string
	Name   string
}

// algorithms are the ones that may be allowed, and whether the issuer's keys verify them.
var algorithms = map[string]bool{
	"HS256": false,
	"RS256": true, "RS384": true, "RS512": true, "PS256": true, "PS384": true, "PS512": true,
	"ES256": true, "ES384": true, "ES512": true, "EdDSA": true,
}

func (c Config) withDefaults() Config {
	c.JWT.Claims = c.JWT.Claims.withDefaults()
	c.Session = c.Session.withDefaults()
	c.APIKeys = c.APIKeys.withDefaults()
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// validate returns what is wrong without looking anywhere. The configuration has its defaults.
func (c Config) validate() (problems Problems) {
	add := func(fix, message string, path ...string) {
		problems = append(problems, Problem{Path: path, Message: message, Fix: fix})
	}
	if n := len(c.Secret); n > 0 && n < minSecret {
		add("make it of 32 random bytes, such as openssl rand -hex 32 prints", "the secret is shorter than 32 bytes", "secret")
	}
	c.JWT.validate(len(c.Secret) > 0, add)
	if c.Session.Enabled && c.DB != nil && len(c.Secret) == 0 {
		add("set the secret that better-auth has", "session cookies are signed with the secret, and there is none", "secret")
	}
	for i, k := range c.APIKeys.Static {
		at := fmt.Sprintf("[%d]", i)
		if k.UserID == "" {
			add("name the user that the key stands for", "the key is nobody's", "api_keys", "static", at, "user")
		}
		if c.PinnedOrg != "" && k.OrgID != "" && k.OrgID != c.PinnedOrg {
			add("leave org out, or name the pinned one", "the key is of another organisation than the pinned one", "api_keys", "static", at, "org")
		}
		if slices.ContainsFunc(c.APIKeys.Static[:i], func(o StaticKey) bool { return sameDigest(o.SHA256, k.SHA256) }) {
			add("remove one of them", "the key is there twice", "api_keys", "static", at, "sha256")
		}
	}
	if c.Tickets != nil && slices.Contains(c.APIKeys.Query, ticketParameter) {
		add("call it otherwise", "the parameter "+ticketParameter+" is that of tickets", "api_keys", "query")
	}
	_, more := c.tables()
	return append(problems, more...)
}

// validate looks at the algorithms and at what verifies them.
func (c JWTConfig) validate(secret bool, add func(fix, message string, path ...string)) {
	issued := false
	for i, a := range c.Algorithms {
		byIssuer, known := algorithms[a]
		issued = issued || byIssuer
		at := fmt.Sprintf("[%d]", i)
		switch {
		case !known:
			add("use HS256, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA", fmt.Sprintf("there is no algorithm %q", a), "jwt", "algorithms", at)
		case !byIssuer && !secret:
			add("set the secret, or use another algorithm", a+" needs the secret, and there is none", "jwt", "algorithms", at)
		case byIssuer && c.JWKSURL == "" && c.JWKSFile == "":
			add("set jwks_url or jwks_file", a+" needs the issuer's keys", "jwt", "algorithms", at)
		}
	}
	switch {
	case c.JWKSURL != "" && c.JWKSFile != "":
		add("remove one of them", "the issuer's keys are in jwks_url or in jwks_file, not in both", "jwt", "jwks_file")
	case !issued && len(c.Algorithms) > 0 && c.JWKSURL+c.JWKSFile != "":
		add("add the issuer's algorithm, such as RS256", "no algorithm uses the issuer's keys", "jwt", "algorithms")
	}
	if u, err := url.Parse(c.JWKSURL); c.JWKSURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		add("write it as https://host/path", "this is no http or https URL", "jwt", "jwks_url")
	}
	if c.Leeway < 0 {
		add("use 0s or more", "the leeway is negative", "jwt", "leeway")
	}
}

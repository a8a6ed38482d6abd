package config

import (
	"crypto/sha256"
	"strconv"
	"strings"
	"time"
)

// Auth says how callers prove who they are.
type Auth struct {
	Secret        string        `koanf:"secret"` // of tickets, HS256 tokens and session cookies
	JWT           JWT           `koanf:"jwt"`
	Session       Session       `koanf:"session"`
	APIKeys       APIKeys       `koanf:"api_keys"`
	PinnedOrg     string        `koanf:"pinned_org"`     // the organisation of everybody; empty: that of the credential
	RoleHierarchy []string      `koanf:"role_hierarchy"` // from least to most
	Recheck       time.Duration `koanf:"recheck"`        // 0 never looks again
	RefreshGrace  time.Duration `koanf:"refresh_grace"`
}

// JWT says which tokens are believed.
type JWT struct {
	Algorithms []string      `koanf:"algorithms"`
	JWKSURL    string        `koanf:"jwks_url"`
	JWKSFile   string        `koanf:"jwks_file"`
	Issuer     string        `koanf:"issuer"`   // empty: any
	Audience   string        `koanf:"audience"` // empty: any
	Leeway     time.Duration `koanf:"leeway"`
	Claims     Claims        `koanf:"claims"`
}

// Claims are the names of the claims of a token that say who its bearer is.
type Claims struct {
	User     string `koanf:"user"`
	Org      string `koanf:"org"`
	Roles    string `koanf:"roles"` // a text or a list
	Name     string `koanf:"name"`
	UserRole string `koanf:"user_role"`
}

// Session says where sessions of better-auth, or of something like it, are.
type Session struct {
	Enabled         bool   `koanf:"enabled"`
	Cookie          string `koanf:"cookie"`
	Table           string `koanf:"table"`
	MembershipTable string `koanf:"membership_table"`
	UserTable       string `koanf:"user_table"`
	Columns         Names  `koanf:"columns"`

	// Named are the keys that the file or the environment has, "enabled" and "columns.x" too: what they name has to be
	// there. No key of its own.
	Named map[string]bool
}

// APIKeys says which keys of machines are believed.
type APIKeys struct {
	Header  string      `koanf:"header"`
	Query   []string    `koanf:"query"`
	Table   string      `koanf:"table"`
	Columns Names       `koanf:"columns"`
	Static  []StaticKey `koanf:"static"`

	Named map[string]bool // as in Session
}

// StaticKey is a key that the file itself declares, by its digest.
type StaticKey struct {
	SHA256 [sha256.Size]byte
	User   string
	Org    string
	Roles  []string
	Name   string
}

// Database is where the tables of the application are.
type Database struct {
	URL string `koanf:"url"` // with its password; empty is Store.URL
}

// Names are names by what they stand for.
type Names map[string]string

// decodeFrom implements decoder.
func (n *Names) decodeFrom(l *loader, at path, v any) {
	m, ok := l.mapping(at, v)
	if !ok {
		return
	}
	*n = make(Names, len(m))
	for key, v := range m {
		var name string
		l.into(at.at(key), v, &name)
		(*n)[key] = name
	}
}

// decodeFrom implements decoder.
func (k *StaticKey) decodeFrom(l *loader, at path, v any) {
	var fields struct {
		SHA256 string   `koanf:"sha256"`
		User   string   `koanf:"user"`
		Org    string   `koanf:"org"`
		Roles  []string `koanf:"roles"`
		Name   string   `koanf:"name"`
	}
	if _, ok := l.mapping(at, v); !ok {
		return
	}
	l.into(at, v, &fields)
	digest, _ := parseDigest(fields.SHA256) // without one it has none, and is refused
	*k = StaticKey{SHA256: digest, User: fields.User, Org: fields.Org, Roles: fields.Roles, Name: fields.Name}
}

// defaultAuth is auth of a file that says nothing of it.
func defaultAuth() Auth {
	return Auth{
		JWT: JWT{
			Algorithms: []string{"HS256"}, Leeway: 30 * time.Second,
			Claims: Claims{User: "sub", Org: "orgId", Roles: "role", Name: "name", UserRole: "userRole"},
		},
		Session: Session{
			Enabled: true, Cookie: "better-auth.session_token", Table: "session", MembershipTable: "member", UserTable: "user",
		},
		APIKeys: APIKeys{Header: "x-api-key", Query: []string{"api_key", "key"}, Table: "apikey"},
		Recheck: 5 * time.Minute, RefreshGrace: 30 * time.Second,
	}
}

// howToMakeASecret ends what is said of a secret.
const howToMakeASecret = "want at least 32 bytes: head -c 32 /dev/urandom | base64"

// validateAuth checks how callers are known, and that there is what this takes.
func (l *loader) validateAuth(c *Config) {
	at := path{"auth"}
	if c.Auth.Secret != "" && len(c.Auth.Secret) < minSecret {
		l.fail(at.at("secret"), "is too short: "+howToMakeASecret)
	}
	l.validateSession(at.at("session"), c)
	l.validateAPIKeys(at.at("api_keys"), c)
	l.identityProblems(at, c)
	if c.Auth.RefreshGrace <= 0 {
		l.fail(at.at("refresh_grace"), "want more than 0")
	}
	if wrong := checkPostgresURL(c.Database.URL, "nothing: then it is store.url"); wrong != "" {
		l.fail(path{"database", "url"}, wrong)
	}
}

// validateSession checks the tables of sessions as far as that is possible without their database.
func (l *loader) validateSession(at path, c *Config) {
	s := &c.Auth.Session
	s.Named = l.named(at, s.Columns, "enabled", "table", "membership_table", "user_table")
	if s.Enabled && strings.IndexFunc(s.Cookie, notToken) >= 0 || s.Cookie == "" {
		l.fail(at.at("cookie"), "want the name of a cookie")
	}
	for key, table := range map[string]string{"table": s.Table, "membership_table": s.MembershipTable, "user_table": s.UserTable} {
		l.table(at.at(key), table)
	}
	if s.Enabled && s.Named["enabled"] && c.DatabaseURL() == "" {
		l.fail(at.at("enabled"), noDatabase)
	}
}

// validateAPIKeys checks the keys of machines as far as that is possible without their database.
func (l *loader) validateAPIKeys(at path, c *Config) {
	k := &c.Auth.APIKeys
	k.Named = l.named(at, k.Columns, "table")
	if strings.IndexFunc(k.Header, notToken) >= 0 {
		l.fail(at.at("header"), "want the name of a header, such as x-api-key")
	}
	for i, name := range k.Query {
		if name == "" || strings.ContainsAny(name, "&=# ") {
			l.fail(at.at("query").at("["+strconv.Itoa(i)+"]"), "want the name of a query parameter, such as api_key")
		}
	}
	l.table(at.at("table"), k.Table)
	for i, key := range k.Static {
		if key.SHA256 == [sha256.Size]byte{} {
			l.reject(at.at("static").at("["+strconv.Itoa(i)+"]").at("sha256"), wantDigest)
		}
	}
}

// named returns which of some keys, and of the columns, somebody wrote.
func (l *loader) named(at path, columns Names, keys ...string) map[string]bool {
	named := make(map[string]bool)
	for _, key := range keys {
		if l.given(at.at(key)) {
			named[key] = true
		}
	}
	for column := range columns {
		named["columns."+column] = true
	}
	if len(named) == 0 {
		return nil
	}
	return named
}

// given reports whether the file or the environment has a key.
func (l *loader) given(p path) bool {
	_, byVariable := l.variables[p.join()]
	return byVariable || l.lines[p.join()] > 0
}

// noDatabase is said of what takes a database where there is none.
const noDatabase = "takes a database: want database.url, or store.url"

// table reports a text that names no table: a name, or schema.name.
func (l *loader) table(at path, name string) {
	if schema, table, two := strings.Cut(name, "."); schema == "" || two && (table == "" || strings.Contains(table, ".")) ||
		strings.ContainsAny(name, "\x00\"") {
		l.fail(at, "want the name of a table, or schema.table, without quotes")
	}
}

// notToken reports characters that names of headers and cookies cannot have.
func notToken(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, c)
}

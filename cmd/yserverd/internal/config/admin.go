package config

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// Admin says who may operate the server over HTTP, and where.
type Admin struct {
	Enabled bool         `koanf:"enabled"`
	Path    string       `koanf:"path"`   // with a leading slash and no trailing one
	Tokens  []AdminToken `koanf:"tokens"` // none: nothing is mounted
	Listen  string       `koanf:"listen"` // an address of its own; empty is that of Config.Listen
}

// Mounted reports whether there is anything to serve.
func (a *Admin) Mounted() bool { return a.Enabled && len(a.Tokens) > 0 }

// AdminToken is one bearer token of the admin API, of which only the digest is known. In the file it is the digest
// alone, or a mapping.
type AdminToken struct {
	Name   string            // for the audit log: unique; one that the file does not name is "token-<n>", from 1
	SHA256 [sha256.Size]byte // of the token's bytes
	Write  bool              // false: it may only read
}

// wantDigest says how to make a digest. It repeats nothing of what stands there: that may be the secret itself.
const wantDigest = "want the SHA-256 of the secret as 64 hex digits: printf %s \"$SECRET\" | sha256sum"

// parseDigest reads a SHA-256 in hex.
func parseDigest(s string) (digest [sha256.Size]byte, ok bool) {
	b, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil || len(b) != len(digest) {
		return digest, false
	}
	return [sha256.Size]byte(b), true
}

// adminTokenFields is a token as a mapping.
type adminTokenFields struct {
	Name   string `koanf:"name"`
	SHA256 string `koanf:"sha256"`
	Role   string `koanf:"role"`
}

// decodeFrom implements decoder: a text is the digest of a token that may write.
func (a *AdminToken) decodeFrom(l *loader, at path, v any) {
	fields := adminTokenFields{Role: "write"}
	if _, isMapping := v.(map[string]any); isMapping {
		l.into(at, v, &fields)
	} else {
		l.into(at, v, &fields.SHA256)
	}
	digest, _ := parseDigest(fields.SHA256) // without one it has none, and is refused
	l.oneOf(at.at("role"), fields.Role, "read", "write")
	*a = AdminToken{Name: fields.Name, SHA256: digest, Write: fields.Role == "write"}
}

// validateAdmin checks where the admin API is, and that its tokens can be told from each other.
func (l *loader) validateAdmin(c *Config) {
	at := path{"admin"}
	trimmed := strings.Trim(c.Admin.Path, "/")
	first, _, _ := strings.Cut(trimmed, "/")
	switch {
	case !strings.HasPrefix(c.Admin.Path, "/") || !plainPath(trimmed):
		l.fail(at.at("path"), "want a path such as /admin")
	case slices.Contains(reserved, first):
		l.fail(at.at("path"), "/"+first+" is the server's own")
	}
	c.Admin.Path = "/" + trimmed
	if c.Admin.Listen != "" {
		l.address(at.at("listen"), c.Admin.Listen)
		if c.Admin.Listen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
			l.fail(at.at("listen"), "is the address of listen: leave it out to have both on one")
		}
	}
	names, digests := make(map[string]bool), make(map[[sha256.Size]byte]bool)
	for i := range c.Admin.Tokens {
		token, step := &c.Admin.Tokens[i], at.at("tokens").at("["+strconv.Itoa(i)+"]")
		if token.Name == "" {
			token.Name = "token-" + strconv.Itoa(i+1)
		}
		if names[token.Name] {
			l.fail(step.at("name"), "another token has this name, so the audit log could not tell them apart")
		}
		switch {
		case token.SHA256 == [sha256.Size]byte{}:
			l.fail(step.at("sha256"), wantDigest)
		case digests[token.SHA256]:
			l.fail(step.at("sha256"), "is there twice")
		}
		names[token.Name], digests[token.SHA256] = true, true
	}
	if c.Admin.Enabled && len(c.Admin.Tokens) == 0 {
		l.warn(at.at("tokens"), "is empty, so there is no admin API; admin: {enabled: false} says that this is meant")
	}
}

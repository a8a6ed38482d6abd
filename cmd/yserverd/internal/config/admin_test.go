package config_test

import (
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
)

// digest is a SHA-256 in hex.
const digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func TestAdminTokens(t *testing.T) {
	c, err := parse("admin: {tokens: '${TOKENS}', listen: ':0'}\nlisten: :0\n"+minimal, "TOKENS="+digest)
	require.NoError(t, err)
	require.Equal(t, []config.AdminToken{{Name: "token-1", SHA256: sha256.Sum256([]byte("test")), Write: true}}, c.Admin.Tokens)
	require.True(t, c.Admin.Mounted())
	require.Empty(t, c.Warnings)

	c, err = parse("admin: {enabled: false}\n" + minimal)
	require.NoError(t, err)
	require.False(t, c.Admin.Mounted())
	require.Empty(t, c.Warnings, "that it is off is what the file says")

	c, err = parse(minimal, "YSERVERD_ADMIN_TOKENS="+digest)
	require.NoError(t, err)
	require.Len(t, c.Admin.Tokens, 1)
}

func TestAdminProblems(t *testing.T) {
	const digestMessage = `want the SHA-256 of the secret as 64 hex digits: printf %s "$SECRET" | sha256sum`
	for _, row := range []struct{ name, text, want string }{
		{"the secret itself", "admin:\n  tokens:\n    - hunter2\n", "y.yaml:3: admin.tokens[0].sha256: " + digestMessage},
		{"a digest that is too long", "admin:\n  tokens:\n    - " + digest + "00\n", "y.yaml:3: admin.tokens[0].sha256: " + digestMessage},
		{"no digest", "admin:\n  tokens:\n    - name: ci\n", "y.yaml:3: admin.tokens[0].sha256: " + digestMessage},
		{"nothing", "admin:\n  tokens:\n    -\n", "y.yaml:3: admin.tokens[0].sha256: " + digestMessage},
		{"a number", "admin: {tokens: [4711]}\n", "y.yaml:1: admin.tokens[0]: want a text (quote it if it looks like a number), got something else"},
		{"a digest that is a number", "admin: {tokens: [{sha256: 4711}]}\n", "y.yaml:1: admin.tokens[0].sha256: want a text (quote it if it looks like a number), got something else"},
		{"a list", "admin: {tokens: [[hunter2]]}\n", "y.yaml:1: admin.tokens[0]: want a text (quote it if it looks like a number), got a list"},
		{"role", "admin:\n  tokens:\n    - sha256: " + digest + "\n      role: root\n", "y.yaml:4: admin.tokens[0].role: want read or write"},
		{"unknown key", "admin: {tokens: [{sha265: " + digest + "}]}\n", "y.yaml:1: admin.tokens[0].sha256: " + digestMessage + "\ny.yaml:1: admin.tokens[0].sha265: unknown key, did you mean sha256?"},
		{"twice", "admin:\n  tokens:\n    - " + digest + "\n    - {name: b, sha256: " + digest + "}\n", "y.yaml:4: admin.tokens[1].sha256: is there twice"},
		{"one name for two", "admin:\n  tokens:\n    - " + digest + "\n    - {name: token-1, sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae}\n", "y.yaml:4: admin.tokens[1].name: another token has this name, so the audit log could not tell them apart"},
		{"path without a slash", "admin: {path: admin}\n", "y.yaml:1: admin.path: want a path such as /admin"},
		{"path of everything", "admin: {path: /}\n", "y.yaml:1: admin.path: want a path such as /admin"},
		{"path of the server's", "admin: {path: /metrics/admin}\n", "y.yaml:1: admin.path: /metrics is the server's own"},
		{"prefix in its path", "admin: {path: /parties}\n", "y.yaml: prefixes[1]: /parties is the server's own"},
		{"listen", "admin: {listen: nowhere}\n", "y.yaml:1: admin.listen: want an address and a port such as 127.0.0.1:1234 or :1234"},
		{"listen where all do", "admin: {listen: ':1'}\nlisten: ':1'\n", "y.yaml:1: admin.listen: is the address of listen: leave it out to have both on one"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := parse(row.text + minimal)
			require.EqualError(t, err, row.want)
			require.NotContains(t, err.Error(), "hunter2", "a secret in an error")
		})
	}
	_, err := parse(minimal, "YSERVERD_ADMIN_TOKENS="+digest+",hunter2")
	require.EqualError(t, err, "YSERVERD_ADMIN_TOKENS: admin.tokens[1].sha256: "+digestMessage)
}

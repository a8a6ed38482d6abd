package identity_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// secretWords are what secrets, and what is made of them, are called. The letters of a word are compared in lower case.
var secretWords = []string{
	"secret", "secrets", "token", "tokens", "hmac", "mac", "digest", "digests", "signature", "signatures", "sig",
	"password", "passwords", "passwd", "apikey", "apikeys", "credential", "credentials", "bearer", "sha", "sha256",
}

// comparers are functions that stop at the first difference, so that the time they take tells how far a guess is right.
var comparers = []string{
	"bytes.Equal", "bytes.Compare", "bytes.EqualFold", "bytes.HasPrefix", "bytes.Contains",
	"strings.EqualFold", "strings.Compare", "strings.HasPrefix", "strings.HasSuffix", "strings.Contains",
	"slices.Equal", "slices.Compare", "slices.Contains", "slices.Index", "cmp.Compare", "reflect.DeepEqual", "maps.Equal",
}

// allowed are comparisons that tell nothing, by the file's path and the expression, each with its reason.
var allowed = map[string]string{
	`gate/identity/credentials.go: strings.EqualFold(scheme, "Bearer")`: "the name of a scheme",
	`gate/identity/credentials.go: strings.HasPrefix(token, "eyJ")`:     "what every JWT starts with",
	`gate/identity/jwks.go: m.USE != jwkset.UseSig`:                     "what a public key is for",
	`gate/identity/recheck.go: id.Method == gate.MethodAPIKey`:          "the name of a method",
	`cmd/yserverd/bundle.go: hex.EncodeToString(sum[:]) != i.SHA256`:    "the digest of a file against damage: whoever has the bundle has both",
}

// wordsOf splits an identifier: "sessionToken", "session_token" and "APIKey" have the words that they seem to have.
func wordsOf(name string) (words []string) {
	start := 0
	runes := []rune(name)
	for i := range runes {
		lowerBefore := i > 0 && (unicode.IsLower(runes[i-1]) || unicode.IsDigit(runes[i-1]))
		endOfCapitals := i > 0 && i+1 < len(runes) && unicode.IsUpper(runes[i-1]) && unicode.IsLower(runes[i+1])
		if runes[i] == '_' || unicode.IsUpper(runes[i]) && (lowerBefore || endOfCapitals) {
			words = append(words, strings.ToLower(strings.Trim(string(runes[start:i]), "_")))
			start = i
		}
	}
	return append(words, strings.ToLower(strings.Trim(string(runes[start:]), "_")))
}

// namesSecret reports whether an identifier is called like a secret.
func namesSecret(name string) bool {
	words := wordsOf(name)
	for i, w := range words {
		if slices.Contains(secretWords, w) || i > 0 && words[i-1] == "api" && strings.HasPrefix(w, "key") {
			return true
		}
	}
	return false
}

// isSecret reports whether the value of an expression is called like a secret: its last name, whatever it is a part of.
// A length is none, and neither is what a function makes of it, unless that is called so too.
func isSecret(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return namesSecret(e.Name)
	case *ast.SelectorExpr:
		return namesSecret(e.Sel.Name)
	case *ast.ParenExpr:
		return isSecret(e.X)
	case *ast.StarExpr:
		return isSecret(e.X)
	case *ast.UnaryExpr:
		return isSecret(e.X)
	case *ast.IndexExpr:
		return isSecret(e.X)
	case *ast.SliceExpr:
		return isSecret(e.X)
	case *ast.BinaryExpr:
		return e.Op == token.ADD && (isSecret(e.X) || isSecret(e.Y))
	case *ast.CallExpr:
		name := last(e.Fun)
		if name == "len" || name == "cap" {
			return false
		}
		_, array := e.Fun.(*ast.ArrayType)
		converts := array || slices.Contains([]string{"string", "Clone", "TrimSpace", "Trim", "ToLower", "ToUpper", "TrimPrefix", "TrimSuffix", "String", "Sum"}, name)
		return namesSecret(name) || converts && (slices.ContainsFunc(e.Args, isSecret) || isSecret(e.Fun) || receiverSecret(e.Fun))
	}
	return false
}

// receiverSecret reports whether a method is called on a secret.
func receiverSecret(fun ast.Expr) bool {
	s, ok := fun.(*ast.SelectorExpr)
	return ok && isSecret(s.X)
}

// last returns the last name of a function.
func last(fun ast.Expr) string {
	switch f := fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// blank reports whether an expression is a zero value, a number, a boolean or a character: comparing with it asks whether
// there is a secret, or what its form is.
func blank(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Kind != token.STRING || e.Value == `""` || e.Value == "``"
	case *ast.Ident:
		return e.Name == "nil" || e.Name == "true" || e.Name == "false"
	case *ast.CompositeLit:
		return len(e.Elts) == 0 // the zero value
	case *ast.ParenExpr:
		return blank(e.X)
	}
	return false
}

// comparisons returns the comparisons of secrets in a file that take as long as the secrets are alike.
func comparisons(fset *token.FileSet, file *ast.File) (found []ast.Node) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && !blank(n.X) && !blank(n.Y) && (isSecret(n.X) || isSecret(n.Y)) {
				found = append(found, n)
			}
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains(comparers, text(fset, s)) && slices.ContainsFunc(n.Args, isSecret) {
				found = append(found, n)
			}
		case *ast.SwitchStmt:
			if n.Tag != nil && isSecret(n.Tag) {
				found = append(found, n.Tag)
			}
		}
		return true
	})
	return found
}

// text returns the source of a node on one line.
func text(fset *token.FileSet, n ast.Node) string {
	var b strings.Builder
	if err := printer.Fprint(&b, fset, n); err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// TestSecretsAreComparedInConstantTime looks through the gate and the command.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	root := filepath.Join("..", "..")
	looked := 0
	for _, folder := range []string{"gate", "cmd/yserverd"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			looked++
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			for _, n := range comparisons(fset, file) {
				at := filepath.ToSlash(name) + ": " + text(fset, n)
				if _, ok := allowed[at]; !ok {
					t.Errorf("%s (line %d): compare the digests of secrets with crypto/subtle, or allow it here with the reason", at, fset.Position(n.Pos()).Line)
				}
			}
			return nil
		})
		require.NoError(t, err)
	}
	require.Greater(t, looked, 30, "it looks at what there is")
}

// TestSecretComparisonsAreFound has code that the test above must find, and code that it must not.
func TestSecretComparisonsAreFound(t *testing.T) {
	for _, row := range []struct {
		expr  string
		found bool
	}{
		{`token == given`, true},
		{`given != c.Secret`, true},
		{`string(mac) == given`, true},
		{`sessionToken == given`, true},
		{`session_token == given`, true},
		{`k.SHA256 == sum`, true},
		{`APIKey == given`, true},
		{`row.apiKey == given`, true},
		{`"Bearer " + token == header`, true},
		{`(token) == given`, true},
		{`*token == given`, true},
		{`tokens[i] == given`, true},
		{`token[:4] == given`, true},
		{`[32]byte(digest) == given`, true},
		{`mac.Sum(nil) == nil`, false},
		{`bytes.Equal(mac.Sum(nil), given)`, true},
		{`bytes.Equal(signature, given)`, true},
		{`bytes.Compare(given, expectedHMAC) == 0`, true},
		{`strings.EqualFold(given, password)`, true},
		{`strings.HasPrefix(token, given)`, true},
		{`slices.Contains(tokens, given)`, true},
		{`slices.Equal(digest[:], given)`, true},
		{`reflect.DeepEqual(given, credential)`, true},
		{`func() bool { switch token { case given: return true }; return false }()`, true},
		{`strings.TrimSpace(token) == given`, true},
		{`secret == "hunter2"`, true},

		{`secret == ""`, false},
		{`digest == nil`, false},
		{`digest == [32]byte{}`, false},
		{`digest == [32]byte{1}`, true},
		{`len(token) == len(given)`, false},
		{`token[0] == '.'`, false},
		{`key == given`, false},
		{`tokenizer == given`, false},
		{`machine == given`, false},
		{`significant == given`, false},
		{`subtle.ConstantTimeCompare(mac, given) == 1`, false},
		{`hmac.Equal(mac, given)`, false},
		{`sameDigest(digest, given)`, false},
		{`token.kind == given`, false},
	} {
		t.Run(row.expr, func(t *testing.T) {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, "planted.go", fmt.Sprintf("package planted\n\nvar _ = %s\n", row.expr), 0)
			require.NoError(t, err)
			require.Equal(t, row.found, len(comparisons(fset, file)) > 0)
		})
	}
}

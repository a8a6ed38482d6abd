package deps_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the folder of the module, seen from this package.
const root = "../.."

// list runs go list over the pattern, dependencies included.
func list(t *testing.T, pattern string) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,GoFiles", pattern)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)
	var packages []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages = append(packages, p)
	}
}

func TestDirection(t *testing.T) {
	packages := list(t, "./...")
	ours := 0
	for _, p := range packages {
		if _, ok := inModule(p.ImportPath); ok {
			ours++
		}
	}
	require.Greater(t, ours, 5, "go list found next to nothing, so nothing was checked")
	for _, v := range checkEdges(packages) {
		t.Error(v)
	}
}

func TestLinked(t *testing.T) {
	packages := list(t, "./cmd/yserverd")
	require.Greater(t, len(packages), 50, "go list found next to nothing, so nothing was checked")
	for _, v := range checkLinked(packages) {
		t.Error(v)
	}
}

// goFiles calls fn with every Go file of the repository, tests included.
func goFiles(t *testing.T, mode parser.Mode, fn func(name string, file *ast.File)) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && name != root) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		seen++
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, mode)
		if err == nil {
			fn(name, file)
		}
		return err
	})
	require.NoError(t, err)
	require.Greater(t, seen, 20, "next to no file was read, so nothing was checked")
}

// TestYCRDT finds the files that import y-crdt, tests included.
func TestYCRDT(t *testing.T) {
	var files []string
	goFiles(t, parser.ImportsOnly, func(name string, file *ast.File) {
		for _, spec := range file.Imports {
			if imported, _ := strconv.Unquote(spec.Path.Value); imported == yCRDT {
				files = append(files, name)
			}
		}
	})
	require.LessOrEqual(t, len(files), 1, "y-crdt is safe for one job only, so one file imports it")
}

// TestRaceSkips finds the tests that the race detector would falsify and that costtest skips under it: make test runs those
// again without it, by their names.
func TestRaceSkips(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	m := regexp.MustCompile(`(?m)^UNRACED := (.+)$`).FindSubmatch(makefile)
	require.NotNil(t, m)
	unraced := regexp.MustCompile(string(m[1]))
	skipped := 0
	goFiles(t, 0, func(name string, file *ast.File) {
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(fn.Name.Name, "Test") || !skippedUnderRace(fn) {
				continue
			}
			skipped++
			if !unraced.MatchString(fn.Name.Name) {
				t.Errorf("%s: %s is skipped under the race detector, and make test runs %s without it only", name, fn.Name.Name, unraced)
			}
		}
	})
	require.Greater(t, skipped, 5, "next to none was found, so nothing was checked")
}

// skippedUnderRace reports whether a function uses what of package costtest skips tests under the race detector.
func skippedUnderRace(fn *ast.FuncDecl) (found bool) {
	ast.Inspect(fn, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && (s.Sel.Name == "Unraced" || s.Sel.Name == "InProportion") {
			if from, ok := s.X.(*ast.Ident); ok && from.Name == "costtest" {
				found = true
			}
		}
		return !found
	})
	return found
}

// TestTopLevel looks at what git has, or would have: files that are ignored are no part of the repository.
func TestTopLevel(t *testing.T) {
	cmd := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	require.NoError(t, err, "git ls-files: the repository has no git here, or no git is installed")
	entries := make(map[string]bool)
	for line := range strings.Lines(string(out)) {
		name, _, isFolder := strings.Cut(strings.TrimSpace(line), "/")
		if isFolder {
			name += "/"
		}
		entries[name] = true
	}
	require.Contains(t, entries, "go.mod")
	for _, v := range checkTopLevel(slices.Sorted(maps.Keys(entries))) {
		t.Error(v)
	}
}

// TestRules gives the rules packages that break them, one each: a rule that forbids nothing would pass TestDirection.
func TestRules(t *testing.T) {
	std := pkg{ImportPath: "fmt", Standard: true}
	other := pkg{ImportPath: "example.org/x"}
	for _, row := range []struct {
		from, to string
		ok       bool
	}{
		{"protocol", "fmt", true},
		{"protocol", module + "/protocol/lib0", true},
		{"protocol/ydoc", module + "/protocol/update", true},
		{"protocol", "example.org/x", false},
		{"protocol/lib0", module + "/persist", false},
		{"protocol/ydoc", module + "/yserver", false},
		{"persist", "example.org/x", true},
		{"persist", module + "/persist/pebble", false},
		{"persist", module + "/protocol", false},
		{"persist/pebble", module + "/persist", true},
		{"persist/pebble", module + "/persist/postgres", false},
		{"persist/pebble", module + "/yserver", false},
		{"persist/pebble", module + "/protocol/update", false},
		{"persist/persisttest", module + "/persist", true},
		{"persist/persisttest", module + "/persist/pebble", false},
		{"gate", "example.org/x", true},
		{"gate", module + "/yserver", false},
		{"gate", module + "/persist", false},
		{"gate", module + "/protocol", false},
		{"yserver", module + "/protocol/ydoc", true},
		{"yserver", module + "/persist", true},
		{"yserver", module + "/gate", true},
		{"yserver", module + "/persist/pebble", false},
		{"yserver", module + "/persist/persisttest", false},
		{"yserver", module + "/internal/ytest", false},
		{"yserver", module + "/cmd/yserverd/internal/config", false},
		{"cmd/yserverd", module + "/persist/pebble", true},
		{"cmd/yserverd", module + "/cmd/yserverd/internal/config", true},
		{"cmd/yserverd", module + "/internal/ytest", false},
		{"cmd/yserverd", module + "/fixtures/load/loadgen", false},
		{"cmd/yserverd/internal/config", module + "/gate", true},
		{"cmd/yserverd/internal/config", module + "/yserver", false},
		{"cmd/yserverd/internal/config", module + "/persist/pebble", false},
		{"internal/ytest", module + "/yserver", true},
		{"internal/ytest", module + "/cmd/yserverd", false},
		{"fixtures/load", module + "/fixtures/load/loadgen", true},
		{"fixtures/load", module + "/cmd/yserverd", false},
		{"elsewhere", "fmt", false},
	} {
		violations := checkEdges([]pkg{std, other, {ImportPath: module + "/" + row.from, Imports: []string{row.to}}})
		require.Equal(t, row.ok, len(violations) == 0, "%s -> %s: %q", row.from, row.to, violations)
	}

	linked := checkLinked([]pkg{{ImportPath: "a", Imports: []string{"testing"}}, {ImportPath: "testing"}, {ImportPath: "testingx"}})
	require.Len(t, linked, 1)
	require.Contains(t, linked[0], "testing is linked into cmd/yserverd by a:")
	for _, u := range unlinked {
		require.Len(t, checkLinked([]pkg{{ImportPath: u.path}}), 1)
	}

	require.Empty(t, checkTopLevel([]string{"gate/", "go.mod", ".gitignore", ".ci/"}))
	require.Len(t, checkTopLevel([]string{"util/", "notes.txt", ".secret/", "pkg/"}), 4)
}

package deps_test

import (
	"fmt"
	"slices"
	"strings"
)

// module is the path of ours.
const module = "github.com/yserverd/yserverd"

// pkg is what the rules look at in a package.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string // of its files that are no tests
	GoFiles    []string
}

// edge says what the packages below a folder may import of ours, and what they may import at all.
type edge struct {
	from    string   // folder; the packages below it are meant too, unless a longer rule matches
	may     []string // folders of ours; "x" is the package x alone, "x/..." it and those below it
	stdOnly bool     // nothing but the standard library beside them
	reason  string
}

// edges are the directions of the architecture. Every package of ours falls under one of them.
var edges = []edge{
	{
		from: "protocol", may: []string{"protocol/..."}, stdOnly: true,
		reason: "the wire is usable by clients and servers alike: it knows no server and brings no dependency",
	},
	{
		from:   "persist",
		reason: "persist has the words that stores and rooms share: it knows neither",
	},
	{
		from: "persist/*", may: []string{"persist", "persist/object"},
		reason: "an adapter knows the vocabulary, what is put beside its rows, and its technology: not the other adapters, not the rooms",
	},
	{
		from:   "persist/changes",
		reason: "what was committed to a database is read without knowing who asks: no store, no rooms, no gate",
	},
	{
		from:   "gate",
		reason: "the gate decides on requests alone, so that it can be read and tested alone",
	},
	{
		from: "gate/*", may: []string{"gate"},
		reason: "who somebody is and what they may are two questions: each knows the gate's words and its own technology, not the other",
	},
	{
		from: "persist/persisttest", may: []string{"persist", "persist/object/..."},
		reason: "the suite of the stores holds any of them to the vocabulary, with the buckets that tests have: it knows none of them",
	},
	{
		from: "yserver", may: []string{"protocol/...", "persist", "gate", "yserver/masking"},
		reason: "rooms speak the wire and use values; they declare the interfaces that adapters fill",
	},
	{
		from: "yserver/masking", may: []string{},
		reason: "what may be seen of a row is decided from the row alone, by the standard library",
	},
	{
		from: "yserver/materialise", may: []string{"protocol/..."},
		reason: "whoever reads or makes a state needs the wire alone; rooms declare the interface that it fills",
	},
	{
		from: "cmd/yserverd", may: []string{"cmd/yserverd/internal/...", "protocol/...", "persist/...", "gate/...", "yserver", "yserver/masking", "yserver/materialise"},
		reason: "the command wires what production has: no fixture, no test helper",
	},
	{
		from: "cmd/yserverd/internal", may: []string{"cmd/yserverd/internal/...", "gate/..."},
		reason: "the parts of the command know values and declared rules, not adapters: the wiring is the only place that knows those",
	},
	{
		from: "internal", may: []string{"internal/...", "protocol/...", "persist/...", "gate", "yserver"},
		reason: "test helpers use what production has, and nothing imports a command",
	},
	{
		from: "fixtures", may: []string{"fixtures/...", "protocol/...", "persist/...", "gate", "yserver"},
		reason: "fixtures are examples of use, and nothing imports a command",
	},
}

// unlinked are packages that may not be part of the server, however they get there.
var unlinked = []struct{ path, reason string }{
	{"testing", "testing registers flags and belongs into tests; a package that production and tests share takes an interface"},
	{"github.com/stretchr/testify", "it is for tests"},
	{"go.uber.org/goleak", "it is for tests"},
	{"pgregory.net/rapid", "it is for tests"},
	{module + "/persist/persisttest", "the suite of the stores and their test doubles are for tests"},
	{module + "/persist/object/objecttest", "the suite of the object stores and their test doubles are for tests"},
	{module + "/internal", "internal is for test helpers"},
	{module + "/fixtures", "fixtures are examples and test material"},
}

// yCRDT is a library that is safe for one job only, see yserver/materialise; so one file imports it.
const yCRDT = "github.com/skyterra/y-crdt"

// topLevel is what the root of the repository has, beside dot files.
var topLevel = []string{
	"protocol", "yserver", "persist", "gate", "cmd", "fixtures", "docs", "internal",
	"README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", "Makefile", "go.mod", "go.sum",
}

// dotFolders are the folders with a dot that the repository may have.
var dotFolders = []string{".ci", ".github"}

// checkEdges returns a sentence for each import that the rules forbid.
func checkEdges(packages []pkg) (violations []string) {
	standard := make(map[string]bool)
	for _, p := range packages {
		standard[p.ImportPath] = p.Standard
	}
	for _, p := range packages {
		folder, ours := inModule(p.ImportPath)
		if !ours {
			continue
		}
		rule, ok := ruleOf(folder)
		if !ok {
			violations = append(violations, p.ImportPath+": no rule says what it may import: add one, with its reason")
			continue
		}
		for _, imported := range p.Imports {
			if target, ours := inModule(imported); ours {
				if !allowed(rule.may, target) {
					violations = append(violations, fmt.Sprintf("%s imports %s: %s", folder, target, rule.reason))
				}
			} else if rule.stdOnly && !standard[imported] {
				violations = append(violations, fmt.Sprintf("%s imports %s: %s", folder, imported, rule.reason))
			}
		}
	}
	return violations
}

// checkLinked returns a sentence for each package that the server must not contain; packages are all that it does, and
// who brings it in.
func checkLinked(packages []pkg) (violations []string) {
	for _, p := range packages {
		for _, u := range unlinked {
			if p.ImportPath != u.path && !strings.HasPrefix(p.ImportPath, u.path+"/") {
				continue
			}
			by := "the command itself"
			for _, q := range packages {
				if slices.Contains(q.Imports, p.ImportPath) {
					by = q.ImportPath
					break
				}
			}
			violations = append(violations, fmt.Sprintf("%s is linked into cmd/yserverd by %s: %s", p.ImportPath, by, u.reason))
		}
	}
	return violations
}

// checkTopLevel returns a sentence for each entry of the root that has no place there.
func checkTopLevel(entries []string) (violations []string) {
	for _, entry := range entries {
		name, isFolder := strings.CutSuffix(entry, "/")
		switch {
		case strings.HasPrefix(name, ".") && !isFolder:
		case isFolder && slices.Contains(dotFolders, name):
		case !slices.Contains(topLevel, name):
			violations = append(violations, entry+" at the top of the repository: its list of folders and files is fixed")
		}
	}
	return violations
}

// ruleOf returns the longest rule that a folder falls under.
func ruleOf(folder string) (rule edge, ok bool) {
	longest := -1
	for _, e := range edges {
		from, below := strings.CutSuffix(e.from, "/*")
		matches := strings.HasPrefix(folder, from+"/") || folder == from && !below
		if matches && len(e.from) > longest {
			rule, ok, longest = e, true, len(e.from)
		}
	}
	return rule, ok
}

// allowed reports whether a folder of ours is in a list of an edge.
func allowed(may []string, folder string) bool {
	for _, m := range may {
		root, below := strings.CutSuffix(m, "/...")
		if folder == root || below && strings.HasPrefix(folder, root+"/") {
			return true
		}
	}
	return false
}

// inModule returns the folder of a package of ours.
func inModule(importPath string) (folder string, ours bool) {
	return strings.CutPrefix(importPath, module+"/")
}

package identity

import "strings"

// Problem is something wrong with a configuration.
type Problem struct {
	Path    []string // from "auth" on, such as {"session", "table"}; an index is written "[0]"
	Message string   // what is wrong, one sentence
	Fix     string   // what to do about it
}

// String returns the problem on one line.
func (p Problem) String() string {
	text := p.Message
	if p.Fix != "" {
		text += " (" + p.Fix + ")"
	}
	if len(p.Path) == 0 {
		return text
	}
	return strings.ReplaceAll(strings.Join(p.Path, "."), ".[", "[") + ": " + text
}

// Problems is an error that says all of them.
type Problems []Problem

// Error returns a line for each.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// err returns nil when there are none.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake.
type Problem struct {
	File    string // name of the file, or of the environment variable
	Line    int    // from 1; 0 when the mistake has no line
	Key     string // dotted path of the key; empty when it concerns the whole file
	Message string
}

// String returns the problem as "file:line: key: message".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Errors are all the mistakes of one configuration, never none.
type Errors []Problem

// Error returns one line for each problem.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Sorted returns the problems in the order of the file, those of the environment last, without repetitions.
func (e Errors) Sorted() Errors {
	slices.SortStableFunc(e, func(a, b Problem) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.File, b.File), strings.Compare(a.Key, b.Key))
	})
	return slices.Compact(e)
}

// nearest returns the candidate that s was probably meant to be: at most a third of its letters (two at least) away.
func nearest(s string, candidates []string) (string, bool) {
	best, found := max(2, len(s)/3)+1, ""
	for _, c := range candidates {
		if d := distance(s, c); d < best && d < max(len(s), len(c)) {
			best, found = d, c
		}
	}
	return found, found != ""
}

// distance is the Levenshtein distance of two strings, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

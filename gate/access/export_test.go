package access

import (
	"time"
)

// MaxBatch is how many callers are asked about in one query.
const MaxBatch = maxBatch

// FindInPattern returns what a pattern of these kinds finds in a room's id.
func FindInPattern(expr string, kinds ...string) (func(room string) (kind, key string, ok bool), error) {
	re, err := compilePattern(expr)
	if err != nil {
		return nil, err
	}
	d := &dispatch{pattern: re, kind: 1, id: 2, targets: map[string]int{}}
	for i, kind := range kinds {
		d.targets[kind] = i
	}
	return func(room string) (string, string, bool) {
		at, key, ok := d.find(room)
		if !ok {
			return "", "", false
		}
		return kinds[at], key, true
	}, nil
}

// ParseAnswer reads a webhook's answer.
func ParseAnswer(text []byte) (write bool, until time.Time, err error) {
	a, err := parseAnswer(text)
	return a.write, a.until, err
}

// Accepts reports whether a text from outside is taken for a value of a type of pg_catalog.
func Accepts(typ, text string) bool {
	return kindOf(typeInfo{schema: "pg_catalog", name: typ, class: "b"}).family.accepts(text)
}

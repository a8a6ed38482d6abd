package config

import "strings"

// delim joins the keys of a path for koanf. No key of a YAML file can hold it.
const delim = "\x00"

// path is where a value stands: the keys that lead to it, and "[n]" for an item of a list.
type path []string

// at returns the path one step further. The receiver stays as it is.
func (p path) at(step string) path { return append(p[:len(p):len(p)], step) }

// join returns the path as koanf and the maps of a loader know it.
func (p path) join() string { return strings.Join(p, delim) }

// String returns the path as people write it: rooms.MAIN.limits.peers, allowed_origins[0].
func (p path) String() string { return strings.ReplaceAll(strings.Join(p, "."), ".[", "[") }

// later reports whether the path is one of the keys that later versions act on, or below one.
func (p path) later() bool {
	for _, key := range later {
		if p.matches(strings.Split(key, ".")) {
			return true
		}
	}
	return false
}

// matches reports whether the path begins with the pattern's keys, "*" matching any.
func (p path) matches(pattern []string) bool {
	if len(p) < len(pattern) {
		return false
	}
	for i, key := range pattern {
		if key != "*" && key != p[i] {
			return false
		}
	}
	return true
}

// laterKeys returns the keys directly below the path that later versions act on.
func (p path) laterKeys() []string {
	var keys []string
	for _, key := range later {
		pattern := strings.Split(key, ".")
		if n := len(pattern) - 1; n == len(p) && p.matches(pattern[:n]) {
			keys = append(keys, pattern[n])
		}
	}
	return keys
}

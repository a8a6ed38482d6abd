package relay

import "strings"

// ParseSince parses "<epoch>:<offset>", what a joiner has of the history already. The epoch is not empty, the offset in
// plain digits; colons before the last one belong to the epoch.
func ParseSince(s string) (epoch string, offset uint64, ok bool) {
	colon := strings.LastIndexByte(s, ':')
	if colon <= 0 {
		return "", 0, false
	}
	offset, ok = decimal(s[colon+1:])
	if !ok {
		return "", 0, false
	}
	return s[:colon], offset, true
}

package update_test

import (
	"github.com/yserverd/yserverd/protocol/lib0"
)

// u joins parts into bytes: numbers as varuints, bytes as they are, strings as varstrings, and byte slices as they are.
func u(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case byte:
			b = append(b, p)
		case int:
			b = lib0.AppendVarUint(b, uint64(p))
		case string:
			b = lib0.AppendVarString(b, p)
		case []byte:
			b = append(b, p...)
		default:
			panic("no such part")
		}
	}
	return b
}

// text is an update of one item of text in the root type "t".
func text(client, clock int, s string) []byte {
	if clock == 0 {
		return u(1, 1, client, clock, 4, 1, "t", s, 0)
	}
	return u(1, 1, client, clock, byte(0x84), client, clock-1, s, 0)
}

// typed is what a client that types sends: an update for each character of s, from the given clock on.
func typed(client, clock int, s string) (updates [][]byte) {
	for i := range s {
		updates = append(updates, text(client, clock+i, s[i:i+1]))
	}
	return updates
}

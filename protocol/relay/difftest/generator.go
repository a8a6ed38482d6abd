package difftest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf16"
)

// Generator makes JSON texts that are hard to read right: escapes in every place, white space, keys that occur several
// times or look like others.
type Generator struct {
	Rand *rand.Rand
	// Lone also makes strings with surrogates that have no partner.
	Lone bool
}

const (
	frameKeys = 13      // of keys, those that mean something in a frame
	typeMark  = "=type" // behind a name: not a key, but the value of the key "type"
)

var (
	keys = []string{
		"type", "type", "type", "from", "from", "userId", "userId", "offset", "to", "toTag", "data", "patch", "ifVersion",
		"a", "b", "c", "", "__proto__", "constructor", "toString", "length", "0", "1", "10", "é", "😀", "\u2028", "\x7f",
		"Type", "FROM", "userid", "type ", " type", "typ", "types", "fromm", "\ufefftype", "type\x00", "a\"b", "a\\b", "/",
	}
	types = []string{
		"presence", "state", "history", "gap", "error", "auth:refresh", "auth:", "auth:x", "chat", "move", "", "GAP", "gap ",
		" gap", "auth", "Auth:refresh", "gap\x00", "presence\ufeff", "état",
	}
	numbers = []string{"0", "-0", "1", "7", "42", "18446744073709551615", "1.0", "-1", "1e2", "1E+2", "0.5", "-1.5e-7", "12345678901234567890", "9007199254740993"}
	spaces  = []string{" ", "\t", "\n", "\r", "  ", "\r\n"}
	damage  = []string{"\xff", "\xed\xa0\x80", "\x00", "\"", "{", "}", "[", "]", ",", ":", "\\", "\ufeff", "\u00a0", "\v", "0", "e", "n", "\\u12", "'", "/**/"}
)

// Frame makes an object with members that mean something at the top level of a frame.
func (g *Generator) Frame() []byte {
	var b strings.Builder
	g.space(&b)
	g.object(&b, 3, true)
	g.space(&b)
	return []byte(b.String())
}

// Value makes any value, most often an object. Its keys are few, so that those of two values meet.
func (g *Generator) Value() []byte {
	var b strings.Builder
	g.space(&b)
	if g.chance(8) {
		g.value(&b, 3)
	} else {
		g.object(&b, 4, false)
	}
	g.space(&b)
	return []byte(b.String())
}

// Damage changes some bytes of a text.
func (g *Generator) Damage(text []byte) []byte {
	for range 1 + g.Rand.IntN(2) {
		i, j := g.Rand.IntN(len(text)+1), g.Rand.IntN(3)
		insert := ""
		if !g.chance(3) {
			insert = g.pick(damage)
		}
		text = []byte(string(text[:i]) + insert + string(text[min(len(text), i+j):]))
	}
	return text
}

func (g *Generator) chance(n int) bool { return g.Rand.IntN(n) == 0 }

func (g *Generator) pick(from []string) string { return from[g.Rand.IntN(len(from))] }

func (g *Generator) space(b *strings.Builder) {
	if g.chance(6) {
		b.WriteString(g.pick(spaces))
	}
}

// names chooses the keys of an object.
func (g *Generator) names(frame bool) (names []string) {
	n := g.Rand.IntN(6)
	if g.chance(8) {
		n += 9 // many members are kept in another way than few
	}
	for range n {
		key := keys[frameKeys+g.Rand.IntN(len(keys)-frameKeys)]
		if frame && !g.chance(4) {
			key = keys[g.Rand.IntN(frameKeys)]
		}
		names = append(names, key)
	}
	if frame && g.chance(3) { // or few would have all that their type asks for
		names = append(names, g.pick(types[:6])+typeMark, "patch", "data")
		g.Rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	}
	return names
}

func (g *Generator) object(b *strings.Builder, depth int, frame bool) {
	b.WriteByte('{')
	g.space(b)
	for i, key := range g.names(frame) {
		if i > 0 {
			b.WriteByte(',')
		}
		g.space(b)
		if name, ok := strings.CutSuffix(key, typeMark); ok {
			g.str(b, "type")
			b.WriteByte(':')
			g.str(b, name)
			continue
		}
		g.str(b, key)
		g.space(b)
		b.WriteByte(':')
		g.space(b)
		if frame {
			g.member(b, key, depth-1)
		} else {
			g.value(b, depth-1)
		}
		g.space(b)
	}
	b.WriteByte('}')
}

// member makes the value of a key at the top level of a frame, mostly one that the key is meant to have.
func (g *Generator) member(b *strings.Builder, key string, depth int) {
	if g.chance(6) {
		g.value(b, depth)
		return
	}
	switch key {
	case "type":
		arrays := 0
		if g.chance(5) {
			arrays = 1 + g.Rand.IntN(3)
		}
		for range arrays {
			b.WriteByte('[')
			g.space(b)
		}
		g.str(b, g.pick(types))
		for range arrays {
			g.space(b)
			b.WriteByte(']')
		}
	case "data", "patch":
		g.object(b, depth, false)
	case "ifVersion":
		b.WriteString(g.pick(numbers))
	case "to", "toTag":
		g.str(b, g.pick(keys))
	default:
		g.value(b, depth)
	}
}

func (g *Generator) value(b *strings.Builder, depth int) {
	n := g.Rand.IntN(10)
	if depth <= 0 {
		n %= 6
	}
	switch {
	case n < 2:
		b.WriteString(g.pick([]string{"null", "null", "true", "false"}))
	case n < 4:
		b.WriteString(g.pick(numbers))
	case n < 6:
		g.str(b, g.pick([]string{"x", "presence", "gap", "😀\n", "}", "]", "\\", "\",\"type\":\"gap"}))
	case n < 9:
		g.object(b, depth, false)
	default:
		b.WriteByte('[')
		g.space(b)
		for i := range g.Rand.IntN(4) {
			if i > 0 {
				b.WriteByte(',')
			}
			g.space(b)
			g.value(b, depth-1)
			g.space(b)
		}
		b.WriteByte(']')
	}
}

var shortEscapes = map[rune]string{'"': `\"`, '\\': `\\`, '/': `\/`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}

// str writes a string, of which some have escapes where none would be needed.
func (g *Generator) str(b *strings.Builder, s string) {
	b.WriteByte('"')
	eager := g.chance(3)
	for _, r := range s {
		short, has := shortEscapes[r]
		switch {
		case has && (r != '/' || eager) && (r != 0 && !g.chance(3)):
			b.WriteString(short)
		case r < ' ' || r == '"' || r == '\\' || eager && g.chance(2):
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(b, g.pick([]string{`\u%04x`, `\u%04X`}), unit)
			}
		default:
			b.WriteRune(r)
		}
	}
	if g.Lone && g.chance(10) {
		b.WriteString(g.pick([]string{`\ud800`, `\uDC00`, `\ud83d\ud83d`, `\ude00\ud83d`, `\ud801`}))
	}
	b.WriteByte('"')
}

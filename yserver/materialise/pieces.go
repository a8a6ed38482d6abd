package materialise

import (
	"unicode/utf8"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// piece is what can be seen of a list at some place: a text, or one unit of another kind, with its formats.
type piece struct {
	it    *item
	body  []byte
	attrs *attributes
}

func (p piece) units() uint64 {
	if p.it.kind == update.String {
		return lib0.UTF16Len(p.body)
	}
	return 1
}

// pieces returns what can be seen of a list.
func pieces(d *Document, b *budget, n *node) ([]piece, error) {
	var list []piece
	var spent int64
	attrs := noAttributes
	for it := n.start; it != nil; it = it.right {
		if err := b.step(); err != nil {
			return nil, err
		}
		switch {
		case !it.live():
		case it.kind == update.Format:
			attrs = attrs.with(it.mark())
			if spent += int64(len(attrs.id)); spent > d.lim.Output {
				return nil, &LimitError{"output", d.lim.Output}
			}
		case it.counts():
			it.units(func(body []byte) bool {
				list = append(list, piece{it, body, attrs})
				return true
			})
		}
	}
	return list, nil
}

// commonPrefix returns how many bytes two texts have in common at their beginning, whole characters only.
func commonPrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	for n > 0 && (n < len(a) && !utf8.RuneStart(a[n]) || n < len(b) && !utf8.RuneStart(b[n])) {
		n--
	}
	return n
}

// commonSuffix returns how many bytes two texts have in common at their end, whole characters only.
func commonSuffix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	for n > 0 && !utf8.RuneStart(a[len(a)-n]) {
		n--
	}
	return n
}

package materialise

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/yserverd/yserverd/protocol/update"
)

// Document is an integrated state. It only reads, and may be used by several goroutines.
type Document struct {
	roots    map[string]*node
	known    map[uint64]uint64 // for each client the clock after what the state has
	pending  bool
	emptyKey bool // a key of a map is the empty string
	deepest  int  // how many types are inside each other, deleted ones too
	state    []byte
	lim      Limits
}

// Open integrates a state: one whole update of format V1, as a room or a store has it. The state is borrowed: it must not
// change while the document is in use. What the state has but cannot be integrated, since it names what is missing, is left
// out as Yjs leaves it out. Errors are ErrMalformed, ErrLimit, ErrInternal or that of the context, which also ends after
// Limits.Time.
func Open(ctx context.Context, state []byte, lim Limits) (d *Document, err error) {
	lim = lim.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, lim.Time)
	defer cancel()
	defer guard(&err)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return load(ctx, state, lim)
}

// guard turns a panic into an error, so that it costs one request only.
func guard(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrInternal, p)
	}
}

// Pending reports whether the state has parts that wait for others, which are missing.
func (d *Document) Pending() bool { return d.pending }

// Root is a root type as its content shows it.
type Root struct {
	Name string
	// Kinds are the kinds that the content fits, the likeliest first. Nothing in a state tells the kind of a root, and an empty
	// one may be any: then there are none.
	Kinds []Kind
	// Length is that of the list in units, Keys the number of keys of the map.
	Length uint64
	Keys   int
}

// Roots returns the root types, sorted by name. One that was only ever looked up by a client is not in a state.
func (d *Document) Roots() []Root {
	list := make([]Root, 0, len(d.roots))
	for _, name := range slices.Sorted(maps.Keys(d.roots)) {
		list = append(list, d.describe(d.roots[name]))
	}
	return list
}

// seen is what the content of a type consists of.
type seen struct {
	text, formats, embeds, values, xmlNodes, xmlTexts, types bool
	length                                                   uint64
	keys                                                     int
}

func look(n *node) (s seen) {
	for it := n.start; it != nil; it = it.right {
		if !it.live() {
			continue
		}
		if it.counts() {
			s.length += it.n
		}
		switch it.kind {
		case update.String:
			s.text = true
		case update.Format:
			s.formats = true
		case update.Embed:
			s.embeds = true
		case update.Type:
			switch it.child.kind {
			case Element, Hook:
				s.xmlNodes = true
			case XMLText:
				s.xmlTexts = true
			default:
				s.types = true
			}
		case update.Deleted:
		default:
			s.values = true
		}
	}
	for key := range n.entries {
		if n.value(key) != nil {
			s.keys++
		}
	}
	return s
}

// describe finds the kinds that the content of a root fits. A list of values is an array, one with text a text; nodes of XML
// are what fragments and elements hold, but arrays and texts may hold them too. Keys make it a map, or attributes.
func (d *Document) describe(n *node) Root {
	s := look(n)
	r := Root{Name: n.name, Length: s.length, Keys: s.keys}
	xml := s.xmlNodes || s.xmlTexts
	switch {
	case s.text || s.formats || s.embeds:
		if s.values {
			break
		}
		r.Kinds = []Kind{Text, XMLText}
		if s.keys > 0 { // both have attributes, and only that of XML is known for them
			r.Kinds = []Kind{XMLText, Text}
		}
	case s.values:
		if s.keys == 0 {
			r.Kinds = []Kind{Array}
		}
	case xml && !s.types:
		if r.Kinds = []Kind{Fragment, Element, Array}; s.keys > 0 {
			r.Kinds = []Kind{Element}
		}
	case s.types || xml:
		if s.keys == 0 {
			r.Kinds = []Kind{Array}
		}
	case s.keys > 0:
		r.Kinds = []Kind{Map, Element, XMLText}
	}
	return r
}

// lookup returns a root and the kind to read it as.
func (d *Document) lookup(name string, kind Kind) (*node, Kind, error) {
	n := d.roots[name]
	if n == nil {
		if kind == Unknown {
			return nil, 0, fmt.Errorf("root %q: %w", name, ErrPath)
		}
		return &node{kind: Unknown, name: name}, kind, nil
	}
	if kind != Unknown {
		return n, kind, nil
	}
	kinds := d.describe(n).Kinds
	if len(kinds) == 0 {
		return nil, 0, &AmbiguousError{Root: name, Kinds: []Kind{Array, Map, Text, Fragment, Element, XMLText}}
	}
	return n, kinds[0], nil
}

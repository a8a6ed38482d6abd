// Package update works on Yjs updates of format V1 without a document: it validates them, takes them apart, slices,
// merges and compares them. An update is a set of structs (items, garbage collected ranges, gaps) and a delete set; the
// order of integration is no matter of this package.
//
// The layout, all numbers lib0 varuints:
//
//	update    = count of sections, sections, delete set
//	section   = count of structs, client, clock of the first, structs (each begins where the one before ends)
//	struct    = info byte, then by its low five bits: GC and Skip: length; else an item
//	item      = [origin id] [right origin id] [parent [parentSub], if it has neither origin] content
//	deletes   = count of clients, for each: client, count of ranges, for each: clock, length
//
// Invariants:
//
//   - No input panics, recurses without bound or makes anything allocate more than a small multiple of its size.
//   - What is accepted is what a Yjs client integrates, what is refused is what makes one throw (see [Decoder]). Limits
//     are told from faults: [ErrLimit] and [ErrMalformed].
//   - Structs are carried byte for byte: numbers and JSON texts leave as they came. Only what must change when a struct is
//     cut or joined is written anew.
//   - Lengths and clocks are UTF-16 code units for text, and never greater than 2^53-1 together.
//   - Results borrow nothing from their inputs unless a comment says so; decoded structs do borrow.
package update

import "github.com/yserverd/yserverd/protocol/lib0"

// ID names one unit of content: the clock-th that client made.
type ID struct{ Client, Clock uint64 }

// Kind is what a struct holds, the content reference of the format (contentRefs in Yjs's Item.js).
type Kind uint8

// The kinds of struct. All but GC and Skip are items.
const (
	GC      Kind = 0  // deleted, collected: only the length is left
	Deleted Kind = 1  // an item whose content is gone: the length
	JSON    Kind = 2  // values as JSON texts (old clients): count, then a string each; one unit each
	Binary  Kind = 3  // a Uint8Array; one unit
	String  Kind = 4  // text; one unit for each UTF-16 code unit
	Embed   Kind = 5  // an object in text, as JSON; one unit
	Format  Kind = 6  // a mark in rich text: key, value as JSON; one unit
	Type    Kind = 7  // a nested Y type: its reference, and a name for XML elements and hooks; one unit
	Any     Kind = 8  // values as lib0 any: count, then each; one unit each
	Doc     Kind = 9  // a subdocument: guid, options as lib0 any; one unit
	Skip    Kind = 10 // a gap: nothing is known about these clocks
)

// The bits of an info byte above the kind.
const (
	HasOrigin      = 0x80
	HasRightOrigin = 0x40
	HasParentSub   = 0x20 // written even where an origin lets the key itself be left out

	kindMask = 0x1f
)

// Struct is one struct of an update. Its slices borrow the update.
type Struct struct {
	ID
	Len  uint64 // in units, at least 1
	Kind Kind
	Info byte // the byte itself: flags and kind

	Origin      ID // valid with HasOrigin
	RightOrigin ID // valid with HasRightOrigin

	// What an item belongs to. Only there without either origin; else the item has the parent of what its origin names.
	ParentIsID bool
	Parent     ID     // of the item that holds the type, with ParentIsID
	ParentName []byte // the name of a root type, without
	ParentSub  []byte // the key in a map, with HasParentSub

	Raw     []byte // the whole struct as it was encoded, from the info byte on
	Content []byte // the part of Raw after the parent; for GC and Skip the length
}

// End returns the clock after the last of the struct.
func (s *Struct) End() uint64 { return s.Clock + s.Len }

// IsItem reports whether the struct is neither GC nor Skip.
func (s *Struct) IsItem() bool { return s.Kind != GC && s.Kind != Skip }

// Empty is the update that holds nothing. It must not be modified.
var Empty = []byte{0, 0}

// Limits bounds what a decoder takes. Whatever goes beyond is refused with an error that is [ErrLimit].
type Limits struct {
	// Nesting is how many arrays and objects may be inside each other within one value. Zero means 512; more than
	// lib0.MaxDepth means that.
	Nesting int
	// Clients is how many sections the structs, the delete set or a state vector may have. One costs some bytes on the
	// wire and hundreds in memory. Zero means 262,144.
	Clients int
}

const (
	defaultNesting = 512
	defaultClients = 1 << 18
)

func (l Limits) withDefaults() Limits {
	if l.Nesting <= 0 {
		l.Nesting = defaultNesting
	}
	l.Nesting = min(l.Nesting, lib0.MaxDepth)
	if l.Clients <= 0 {
		l.Clients = defaultClients
	}
	return l
}

// Validate reports whether a Yjs client could integrate the update: nil, or the *Error of the first fault. It allocates
// nothing for a valid update. Bytes that follow the delete set are tolerated, as Yjs does.
func Validate(u []byte, lim Limits) error {
	var d Decoder
	d.Reset(u, lim)
	var s Struct
	for {
		ok, err := d.Next(&s)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
	}
	for {
		_, _, _, ok, err := d.NextDelete()
		if err != nil || !ok {
			return err
		}
	}
}

package update

import "github.com/yserverd/yserverd/protocol/lib0"

// readStruct reads the struct at the current client and clock.
func (d *Decoder) readStruct(s *Struct) error {
	start := d.r.Pos()
	info, err := d.r.Uint8()
	if err != nil {
		return wrap(err, 0)
	}
	*s = Struct{ID: ID{d.client, d.clock}, Kind: Kind(info & kindMask), Info: info}
	if s.IsItem() {
		err = d.readItem(s, start)
	} else {
		err = d.readRange(s, start)
	}
	if err != nil {
		return err
	}
	if s.Len == 0 {
		return fault(FaultEmpty, start)
	}
	if s.Len > lib0.MaxInteger-s.Clock {
		return fault(FaultRange, start)
	}
	s.Raw = d.r.From(start)
	return nil
}

// readRange reads the rest of a GC or Skip.
func (d *Decoder) readRange(s *Struct, start int) (err error) {
	if s.Info != byte(s.Kind) {
		return fault(FaultInfo, start)
	}
	if s.Kind == Skip {
		d.odd = true
	}
	at := d.r.Pos()
	if s.Len, err = d.r.VarUint(); err != nil {
		return wrap(err, 0)
	}
	s.Content = d.r.From(at)
	return nil
}

// readItem reads the rest of an item.
func (d *Decoder) readItem(s *Struct, start int) error {
	if s.Kind > Doc {
		return fault(FaultInfo, start)
	}
	if s.Info&HasOrigin != 0 {
		if err := d.readID(s, &s.Origin); err != nil {
			return err
		}
	}
	if s.Info&HasRightOrigin != 0 {
		if err := d.readID(s, &s.RightOrigin); err != nil {
			return err
		}
	}
	if s.Info&(HasOrigin|HasRightOrigin) == 0 {
		if err := d.readParent(s); err != nil {
			return err
		}
	}
	at := d.r.Pos()
	if err := d.readContent(s); err != nil {
		return err
	}
	s.Content = d.r.From(at)
	return nil
}

// readID reads an origin or parent, which must not lie in its own client's future.
func (d *Decoder) readID(s *Struct, id *ID) (err error) {
	start := d.r.Pos()
	if id.Client, err = d.r.VarUint(); err != nil {
		return wrap(err, 0)
	}
	if id.Clock, err = d.r.VarUint(); err != nil {
		return wrap(err, 0)
	}
	if id.Client == s.Client && id.Clock >= s.Clock {
		return fault(FaultReference, start)
	}
	return nil
}

// readParent reads what an item without origins belongs to.
func (d *Decoder) readParent(s *Struct) error {
	named, err := d.r.VarUint()
	if err != nil {
		return wrap(err, 0)
	}
	if named == 1 {
		if s.ParentName, err = d.r.VarString(); err != nil {
			return wrap(err, 0)
		}
	} else {
		s.ParentIsID = true
		if err := d.readID(s, &s.Parent); err != nil {
			return err
		}
	}
	if s.Info&HasParentSub != 0 {
		if s.ParentSub, err = d.r.VarString(); err != nil {
			return wrap(err, 0)
		}
	}
	return nil
}

// readContent reads over the content of an item and sets its length.
func (d *Decoder) readContent(s *Struct) (err error) {
	s.Len = 1
	switch s.Kind {
	case String:
		_, s.Len, err = d.r.VarStringUnits()
	case Deleted:
		s.Len, err = d.r.VarUint()
	case JSON:
		return d.readJSONs(s)
	case Any:
		return d.readAnys(s)
	case Binary:
		_, err = d.r.VarBytes()
	case Embed:
		return d.readJSON(false)
	case Format:
		if _, err = d.r.VarString(); err == nil {
			return d.readJSON(false)
		}
	case Type:
		return d.readType()
	case Doc:
		return d.readDoc()
	}
	if err != nil {
		return wrap(err, 0)
	}
	return nil
}

// readJSON reads over one JSON text. Where undefined is set, that word is as good as JSON (readContentJSON).
func (d *Decoder) readJSON(undefined bool) error {
	text, err := d.r.VarString()
	if err != nil {
		return wrap(err, 0)
	}
	if undefined && string(text) == "undefined" {
		return nil
	}
	if err := lib0.CheckJSON(text, d.lim.Nesting); err != nil {
		return wrap(err, d.r.Pos()-len(text))
	}
	return nil
}

// readValues reads how many values follow, each of at least one byte.
func (d *Decoder) readValues(s *Struct) error {
	start := d.r.Pos()
	n, err := d.r.VarUint()
	s.Len = n
	return d.fits(n, 1, start, err)
}

func (d *Decoder) readJSONs(s *Struct) error {
	if err := d.readValues(s); err != nil {
		return err
	}
	for range s.Len {
		if err := d.readJSON(true); err != nil {
			return err
		}
	}
	return nil
}

func (d *Decoder) readAnys(s *Struct) error {
	if err := d.readValues(s); err != nil {
		return err
	}
	for range s.Len {
		if err := d.r.SkipAny(d.lim.Nesting); err != nil {
			return wrap(err, 0)
		}
	}
	return nil
}

// The references of nested types (typeRefs in Yjs's ContentType.js). Those with a name are followed by it.
const (
	typeXMLElement = 3
	typeXMLHook    = 5
	typeXMLText    = 6 // the greatest
)

func (d *Decoder) readType() error {
	start := d.r.Pos()
	ref, err := d.r.VarUint()
	if err != nil {
		return wrap(err, 0)
	}
	if ref > typeXMLText {
		return fault(FaultType, start)
	}
	if ref == typeXMLElement || ref == typeXMLHook {
		if _, err := d.r.VarString(); err != nil {
			return wrap(err, 0)
		}
	}
	return nil
}

// The any tags of null and undefined.
const (
	tagNull      = 126
	tagUndefined = 127
)

func (d *Decoder) readDoc() error {
	if _, err := d.r.VarString(); err != nil {
		return wrap(err, 0)
	}
	start := d.r.Pos()
	if err := d.r.SkipAny(d.lim.Nesting); err != nil {
		return wrap(err, 0)
	}
	if tag := d.r.From(start)[0]; tag == tagNull || tag == tagUndefined {
		return fault(FaultDoc, start)
	}
	return nil
}

package update

import "github.com/yserverd/yserverd/protocol/lib0"

// Decoder reads an update as a stream: all structs with Next, then all delete ranges with NextDelete. It checks as it goes,
// so an update is known to be sound only once both have returned false without an error.
//
// Refused: bytes that end early, unknown content and type references and any tags, invalid UTF-8, JSON that JSON.parse
// refuses (the text "undefined" is legal for the values of kind JSON alone), subdocuments whose options are null or
// undefined, structs without length, GC and Skip with flags, clocks and lengths beyond 2^53-1, values nested beyond the
// limit, and origins and parents of the struct's own client that do not point back.
//
// Tolerated, as in Yjs: superfluous groups of varuints, delete ranges in any order, overlapping or repeated, bytes after
// the end, sections without structs or ranges, any parent info but 1 for "an id follows", Skips anywhere, one client in
// several sections (Yjs itself keeps only the last of them). Delete ranges without length, at which Yjs throws, are left
// out. Canonical tells whether any of the latter was met.
//
// The zero Decoder holds nothing until Reset. It may be used for one update after the other and never allocates, but for
// errors. It is not safe for concurrent use.
type Decoder struct {
	r   lib0.Reader
	lim Limits
	err error

	phase    phase
	sections uint64 // of structs or deletes, after the current one
	left     uint64 // structs or ranges in the current section, not yet read
	client   uint64 // of the current section
	clock    uint64 // of the next struct; in the delete set the end of the last range
	first    bool   // the next section is the first of its phase
	ranged   bool   // a range of this client was read
	odd      bool   // something was met that is not canonical
}

type phase uint8

const (
	phaseDone phase = iota // also the phase of a zero Decoder: nothing to read
	phaseStart
	phaseStructs
	phaseDeletes
)

// The fewest bytes that a part takes: what a count claims is held against the bytes that are left.
const (
	minSection       = 3 // count, client, clock
	minStruct        = 2 // info, length
	minDeleteSection = 2 // client, count
	minDelete        = 2 // clock, length
)

// Reset starts on another update, which must not change while it or the structs read from it are in use.
func (d *Decoder) Reset(u []byte, lim Limits) {
	*d = Decoder{r: lib0.NewReader(u), lim: lim.withDefaults(), phase: phaseStart}
}

// Canonical reports whether the update is encoded as Yjs would encode it, so that its very bytes may be passed on: clients
// descend and occur once, there are no empty sections, no Skips, no superfluous bytes at the end, and the delete ranges
// ascend without touching. It is valid once NextDelete has returned false.
func (d *Decoder) Canonical() bool { return d.phase == phaseDone && !d.odd && d.err == nil }

// Next reads the next struct into s and reports whether there was one. Structs of one section come in order of their
// clocks, each beginning where the one before ended. An error is final, and is returned again by every later call.
func (d *Decoder) Next(s *Struct) (bool, error) {
	for d.left == 0 || d.phase != phaseStructs {
		if ok, err := d.nextSection(); err != nil || !ok {
			return false, err
		}
	}
	d.left--
	if err := d.readStruct(s); err != nil {
		d.err = err
		d.phase = phaseDone
		return false, err
	}
	d.clock += s.Len
	return true, nil
}

// nextSection goes to the next section of structs and reports whether there is one.
func (d *Decoder) nextSection() (bool, error) {
	if d.phase == phaseStart {
		if d.sections, d.err = d.count(minSection); d.err != nil {
			return false, d.err
		}
		d.phase, d.first = phaseStructs, true
	}
	if d.phase != phaseStructs || d.sections == 0 {
		return false, d.err
	}
	d.sections--
	if err := d.readSection(); err != nil {
		d.err = err
		d.phase = phaseDone
		return false, err
	}
	return true, nil
}

// count reads a number of sections, each of which takes at least size bytes.
func (d *Decoder) count(size uint64) (uint64, error) {
	start := d.r.Pos()
	n, err := d.r.VarUint()
	if err == nil && n > uint64(d.lim.Clients) && n <= uint64(d.r.Len())/size {
		err = fault(LimitClients, start)
	} else {
		err = d.fits(n, size, start, err)
	}
	if err != nil {
		d.phase = phaseDone
	}
	return n, err
}

// fits holds a count of things of at least size bytes against the bytes that are left.
func (d *Decoder) fits(n, size uint64, start int, err error) error {
	if err != nil {
		return wrap(err, 0)
	}
	if n > uint64(d.r.Len())/size {
		return fault(FaultEnd, start)
	}
	return nil
}

// readSection reads the head of a section of structs.
func (d *Decoder) readSection() error {
	start := d.r.Pos()
	n, err := d.r.VarUint()
	if err = d.fits(n, minStruct, start, err); err != nil {
		return err
	}
	client, err := d.r.VarUint()
	if err != nil {
		return wrap(err, 0)
	}
	clock, err := d.r.VarUint()
	if err != nil {
		return wrap(err, 0)
	}
	if n == 0 || !d.first && client >= d.client {
		d.odd = true
	}
	d.left, d.client, d.clock, d.first = n, client, clock, false
	return nil
}

// NextDelete reads the next range of the delete set: length clocks of client from clock on. Ok is false after the last.
// Structs that were not read yet are checked and passed over first. Ranges come as they are encoded, in any order, but
// never without length. An error is final, and is returned again by every later call.
func (d *Decoder) NextDelete() (client, clock, length uint64, ok bool, err error) {
	if d.phase != phaseDeletes {
		if ok, err := d.startDeletes(); !ok {
			return 0, 0, 0, false, err
		}
	}
	for {
		for d.left == 0 {
			if ok, err := d.nextDeleteSection(); !ok {
				return 0, 0, 0, false, err
			}
		}
		d.left--
		clock, length, err = d.readDelete()
		if err != nil {
			d.err = err
			d.phase = phaseDone
			return 0, 0, 0, false, err
		}
		if length > 0 {
			return d.client, clock, length, true, nil
		}
	}
}

// startDeletes goes to the delete set and reports whether it got there.
func (d *Decoder) startDeletes() (bool, error) {
	var s Struct
	for d.phase == phaseStart || d.phase == phaseStructs {
		ok, err := d.Next(&s)
		if err != nil {
			return false, err
		}
		if !ok {
			break
		}
	}
	if d.phase != phaseStructs {
		return false, d.err
	}
	if d.sections, d.err = d.count(minDeleteSection); d.err != nil {
		return false, d.err
	}
	d.phase, d.left, d.first = phaseDeletes, 0, true
	return true, nil
}

// nextDeleteSection goes to the next client of the delete set and reports whether there is one.
func (d *Decoder) nextDeleteSection() (bool, error) {
	if d.sections == 0 {
		d.phase = phaseDone
		d.odd = d.odd || d.r.Len() > 0
		return false, nil
	}
	d.sections--
	client, err := d.r.VarUint()
	if err != nil {
		err = wrap(err, 0)
	}
	var n uint64
	if err == nil {
		start := d.r.Pos()
		n, err = d.r.VarUint()
		err = d.fits(n, minDelete, start, err)
	}
	if err != nil {
		d.err = err
		d.phase = phaseDone
		return false, err
	}
	if n == 0 || !d.first && client >= d.client {
		d.odd = true
	}
	d.left, d.client, d.clock, d.first = n, client, 0, false
	d.ranged = false
	return true, nil
}

// readDelete reads one range of the delete set.
func (d *Decoder) readDelete() (clock, length uint64, err error) {
	start := d.r.Pos()
	if clock, err = d.r.VarUint(); err != nil {
		return 0, 0, wrap(err, 0)
	}
	if length, err = d.r.VarUint(); err != nil {
		return 0, 0, wrap(err, 0)
	}
	if clock+length > lib0.MaxInteger {
		return 0, 0, fault(FaultRange, start)
	}
	if length == 0 || d.ranged && clock <= d.clock {
		d.odd = true
	}
	d.clock, d.ranged = clock+length, true
	return clock, length, nil
}

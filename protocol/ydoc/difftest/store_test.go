package difftest_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"

	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// subject is the store under test together with what a room and its log would hold.
type subject struct {
	cfg ydoc.Config
	rng *rand.Rand

	doc     *ydoc.Doc
	relayed *ydoc.Doc // given only what the store said is new
	logged  *ydoc.Doc // given only what the store said the log must hold

	snapshot []byte   // the log's beginning, nil for none
	log      [][]byte // what came after it

	frozen   *ydoc.Frozen
	wasFull  []byte // what the frozen copy held when it was made
	frozenAt int    // how long the log was then
	work     chan compaction
	done     *compaction
}

// compaction is what the work beside the owner came to.
type compaction struct {
	c   *ydoc.Compacted
	err error
}

// reset begins a session.
func (s *subject) reset(keepDeleted bool) {
	s.wait()
	*s = subject{cfg: ydoc.Config{KeepDeleted: keepDeleted}, rng: rand.New(rand.NewPCG(1, 2))}
	s.doc, s.relayed, s.logged = ydoc.New(s.cfg), ydoc.New(s.cfg), ydoc.New(s.cfg)
}

// apply has the store take an update and holds what it says about it to what happened.
func (s *subject) apply(u []byte) (flags byte, news []byte, from []update.ID, err error) {
	if err := s.refuses(u); err != nil {
		return 0, nil, nil, err
	}
	input := slices.Clone(u)
	before, err := vector(s.doc.StateVector())
	if err != nil {
		return 0, nil, nil, err
	}
	a, err := s.doc.Apply(u)
	if err != nil {
		return 0, nil, nil, err
	}
	news, from = slices.Clone(a.New), slices.Clone(a.From)
	log := slices.Clone(a.Log)
	if !bytes.Equal(input, u) {
		return 0, nil, nil, broken("apply changed its input")
	}
	flags = bit(a.Released, 1) | bit(a.Parked, 2) | bit(a.Missing, 4) | bit(a.New != nil, 8)
	if err := s.account(before, a.New != nil, news, from); err != nil {
		return 0, nil, nil, err
	}
	if err := s.lacks(u, before, a.Missing); err != nil {
		return 0, nil, nil, err
	}
	if a.Log != nil {
		if _, err := s.logged.Apply(log); err != nil {
			return 0, nil, nil, broken("the log's update does not apply: %v", err)
		}
		s.log = append(s.log, log)
	}
	return flags, news, from, s.repeat(u)
}

// account checks what is relayed: it begins where the store ended, brings every client to where it is now, and needs
// nothing else.
func (s *subject) account(before map[uint64]uint64, has bool, news []byte, from []update.ID) error {
	after, err := vector(s.doc.StateVector())
	if err != nil {
		return err
	}
	grown := 0
	for client, clock := range after {
		if clock > before[client] {
			grown++
		} else if clock < before[client] {
			return broken("the clock of client %d went back from %d to %d", client, before[client], clock)
		}
	}
	if len(from) != grown || grown > 0 && !has {
		return broken("the vector changed for %d clients, from names %d, new %t", grown, len(from), has)
	}
	for _, id := range from {
		if id.Clock != before[id.Client] || after[id.Client] <= id.Clock {
			return broken("from says %d for client %d, which had %d and has %d", id.Clock, id.Client, before[id.Client], after[id.Client])
		}
	}
	if !has {
		return nil
	}
	if canonical, err := canonical(news); err != nil || !canonical {
		return broken("what is relayed is not canonical (%v): %x", err, news)
	}
	r, err := s.relayed.Apply(news)
	if err != nil {
		return broken("what is relayed does not apply: %v", err)
	}
	if r.Parked || r.Released || r.New == nil {
		return broken("what is relayed opens a gap or holds nothing new: %x", news)
	}
	return nil
}

// lacks checks whether the store says that something is missing: when a struct that was new names an id that is not there,
// and only when something in the update does.
func (s *subject) lacks(u []byte, before map[uint64]uint64, said bool) error {
	after, err := vector(s.doc.StateVector())
	if err != nil {
		return err
	}
	var d update.Decoder
	var st update.Struct
	must, may := false, false
	d.Reset(u, update.Limits{})
	for {
		ok, err := d.Next(&st)
		if err != nil || !ok {
			break
		}
		lacks := st.Kind != update.Skip && st.Clock > after[st.Client]
		for _, id := range named(&st) {
			lacks = lacks || id.Clock >= after[id.Client]
		}
		may = may || lacks
		must = must || lacks && st.Clock+st.Len > before[st.Client]
	}
	for {
		client, clock, length, ok, err := d.NextDelete()
		if err != nil || !ok {
			break
		}
		may = may || clock+length > after[client]
	}
	if must && !said || said && !may {
		return broken("missing is %t, of what is new %t, of all %t: %x", said, must, may, cutOff(u))
	}
	return nil
}

// named returns the ids that a struct names.
func named(st *update.Struct) []update.ID {
	var ids []update.ID
	if st.Info&update.HasOrigin != 0 && st.Kind != update.GC && st.Kind != update.Skip {
		ids = append(ids, st.Origin)
	}
	if st.Info&update.HasRightOrigin != 0 && st.Kind != update.GC && st.Kind != update.Skip {
		ids = append(ids, st.RightOrigin)
	}
	if st.ParentIsID && len(ids) == 0 {
		ids = append(ids, st.Parent)
	}
	return ids
}

// refuses checks, now and then, that bytes which end early are refused and change nothing.
func (s *subject) refuses(u []byte) error {
	if len(u) < 2 || s.rng.IntN(8) > 0 {
		return nil
	}
	state, pending := s.doc.State(), s.doc.Pending()
	_, err := s.doc.Apply(u[:s.rng.IntN(len(u))])
	if !errors.Is(err, ydoc.ErrMalformed) {
		return broken("an update that ends early: %v", err)
	}
	if !bytes.Equal(state, s.doc.State()) || !bytes.Equal(pending, s.doc.Pending()) {
		return broken("a refused update changed the document")
	}
	return nil
}

// repeat checks, now and then, that the same update again brings nothing.
func (s *subject) repeat(u []byte) error {
	if s.rng.IntN(4) > 0 {
		return nil
	}
	a, err := s.doc.Apply(u)
	if err != nil {
		return err
	}
	if a.New != nil || a.Log != nil || a.Released || len(a.From) > 0 {
		return broken("the same update again brings new %x log %x", a.New, a.Log)
	}
	return nil
}

// check holds the store to what can be derived from it.
func (s *subject) check() error {
	if !ydoc.Equal(s.logged, s.doc) {
		return broken("the log gives %s, the document is %s", describe(s.logged), describe(s.doc))
	}
	if s.doc.Pending() == nil && !ydoc.Equal(s.relayed, s.doc) {
		return broken("what was relayed gives %s, the document is %s", describe(s.relayed), describe(s.doc))
	}
	if !bytes.Equal(s.relayed.StateVector(), s.doc.StateVector()) {
		return broken("what was relayed gives %s, the document is %s", describe(s.relayed), describe(s.doc))
	}
	again := ydoc.New(s.cfg)
	if _, err := again.Apply(s.doc.Full()); err != nil {
		return broken("the full state does not apply: %v", err)
	}
	if !ydoc.Equal(again, s.doc) {
		return broken("the full state gives %s, the document is %s", describe(again), describe(s.doc))
	}
	sv, err := update.StateVector(nil, s.doc.State())
	if err != nil || !bytes.Equal(sv, s.doc.StateVector()) {
		return broken("the state's vector is %x (%v), the document's %x", sv, err, s.doc.StateVector())
	}
	if more, err := s.doc.Claims(sv); err != nil || more {
		return broken("the document's own vector claims more (%v)", err)
	}
	return s.count()
}

// count checks the counters.
func (s *subject) count() error {
	var d update.Decoder
	var st update.Struct
	var got ydoc.Stats
	clients := map[uint64]bool{}
	d.Reset(s.doc.State(), update.Limits{})
	for {
		ok, err := d.Next(&st)
		if err != nil {
			return broken("the state: %v", err)
		}
		if !ok {
			break
		}
		clients[st.Client] = true
		got.Structs++
		got.Bytes += len(st.Raw)
	}
	for {
		_, _, _, ok, err := d.NextDelete()
		if err != nil {
			return broken("the state's deletes: %v", err)
		}
		if !ok {
			break
		}
		got.Deletes++
	}
	if !d.Canonical() {
		return broken("the state is not canonical: %x", s.doc.State())
	}
	st2 := s.doc.Stats()
	if st2.Structs != got.Structs || st2.Clients != len(clients) || st2.Deletes != got.Deletes || st2.Bytes < got.Bytes || st2.Bytes > len(s.doc.State())+16 {
		return broken("stats say %+v, the state has %+v and %d clients in %d bytes", st2, got, len(clients), len(s.doc.State()))
	}
	if (st2.Pending == 0) != (s.doc.Pending() == nil) || (st2.PendingBytes == 0) != (s.doc.Pending() == nil) {
		return broken("stats say %+v, pending %x", st2, s.doc.Pending())
	}
	return nil
}

// restart loads the document from what would be saved.
func (s *subject) restart() error {
	again := ydoc.New(s.cfg)
	if _, err := again.Apply(s.doc.Full()); err != nil {
		return err
	}
	if !ydoc.Equal(again, s.doc) {
		return broken("after a restart it is %s, before %s", describe(again), describe(s.doc))
	}
	s.doc = again
	s.wait()
	s.frozen, s.done = nil, nil
	return nil
}

// crash loads the document from the snapshot and the log.
func (s *subject) crash() error {
	again := ydoc.New(s.cfg)
	if s.snapshot != nil {
		if _, err := again.Apply(s.snapshot); err != nil {
			return err
		}
	}
	for _, u := range s.log {
		if _, err := again.Apply(u); err != nil {
			return err
		}
	}
	if !ydoc.Equal(again, s.doc) {
		return broken("the log gives %s, the document was %s", describe(again), describe(s.doc))
	}
	s.doc = again
	s.wait()
	s.frozen, s.done = nil, nil
	return nil
}

// freeze makes a copy and starts compacting it in another goroutine.
func (s *subject) freeze() {
	s.wait()
	s.frozen, s.frozenAt, s.done = s.doc.Freeze(), len(s.log), nil
	s.wasFull = slices.Clone(s.doc.Full())
	work, frozen := make(chan compaction, 1), s.frozen
	s.work = work
	go func() {
		c, err := frozen.Compact()
		work <- compaction{c, err}
	}()
}

// wait waits for the work beside, if there is any.
func (s *subject) wait() {
	if s.work != nil {
		done := <-s.work
		s.done, s.work = &done, nil
	}
}

// compact returns the compacted state.
func (s *subject) compact() ([]byte, error) {
	s.wait()
	if s.done == nil || s.frozen == nil {
		return nil, broken("nothing is frozen")
	}
	if s.done.err != nil {
		return nil, s.done.err
	}
	if full := s.frozen.AppendFull(nil); !bytes.Equal(full, s.wasFull) {
		return nil, broken("the frozen copy changed from %x to %x", cutOff(s.wasFull), cutOff(full))
	}
	u := s.done.c.Update()
	if err := update.Validate(u, update.Limits{}); err != nil {
		return nil, broken("the compacted state: %v", err)
	}
	return u, nil
}

// adopt takes the compacted state over, as the document and as the snapshot.
func (s *subject) adopt() (bool, error) {
	sv, pending := slices.Clone(s.doc.StateVector()), slices.Clone(s.doc.Pending())
	if !s.doc.Adopt(s.done.c) {
		return false, nil
	}
	if !bytes.Equal(sv, s.doc.StateVector()) {
		return false, broken("adopting changed the state vector from %x to %x", sv, s.doc.StateVector())
	}
	if !bytes.Equal(pending, s.doc.Pending()) {
		return false, broken("adopting changed what is pending from %x to %x", pending, s.doc.Pending())
	}
	s.snapshot, s.log = s.done.c.Update(), slices.Clone(s.log[s.frozenAt:])
	s.frozen, s.done = nil, nil
	s.relayed, s.logged = ydoc.New(s.cfg), ydoc.New(s.cfg)
	if _, err := s.relayed.Apply(s.doc.State()); err != nil {
		return false, broken("the state after compaction does not apply: %v", err)
	}
	if _, err := s.logged.Apply(s.doc.Full()); err != nil {
		return false, broken("the full state after compaction does not apply: %v", err)
	}
	return true, s.check()
}

func (s *subject) stats() ([]byte, error) { return json.Marshal(s.doc.Stats()) }

func bit(set bool, b byte) byte {
	if set {
		return b
	}
	return 0
}

// vector decodes a state vector.
func vector(sv []byte) (map[uint64]uint64, error) {
	ids, err := update.ParseStateVector(nil, sv, update.Limits{})
	if err != nil {
		return nil, broken("the state vector %x: %v", sv, err)
	}
	m := make(map[uint64]uint64, len(ids))
	for _, id := range ids {
		m[id.Client] = id.Clock
	}
	return m, nil
}

// describe names what a document holds, for messages.
func describe(d *ydoc.Doc) string {
	b, _ := json.Marshal(struct {
		Vector, Pending, State []byte
	}{d.StateVector(), d.Pending(), cutOff(d.State())})
	return string(b)
}

func cutOff(b []byte) []byte { return b[:min(len(b), 2000)] }

// idList encodes and decodes ids as rpc.mjs does.
func appendIDs(dst []byte, ids []update.ID) []byte {
	for _, id := range ids {
		dst = binary.LittleEndian.AppendUint64(dst, id.Client)
		dst = binary.LittleEndian.AppendUint64(dst, id.Clock)
	}
	return dst
}

func readIDs(b []byte) []update.ID {
	var ids []update.ID
	for ; len(b) >= 16; b = b[16:] {
		ids = append(ids, update.ID{Client: binary.LittleEndian.Uint64(b), Clock: binary.LittleEndian.Uint64(b[8:])})
	}
	return ids
}

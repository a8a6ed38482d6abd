package materialise

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// peer is what one client made.
type peer struct {
	id     uint64
	all    []*item // as the state has them, without a gap from clock 0 on
	at     int     // how many of these are integrated, or will be
	end    uint64  // the clock after those
	known  uint64  // the clock after all that the state has, beyond gaps too
	busy   bool    // something of it waits on the stack
	dead   bool    // nothing more of it can be integrated
	cuts   []uint64
	pieces []*item             // in the order of clocks
	made   map[uint64]struct{} // with loader.inverted: the clocks at which Yjs has cut by now, and where structs begin
	total  uint64              // of clocks in pieces
}

// loader reads a state and integrates it.
type loader struct {
	doc     *Document
	peers   map[uint64]*peer
	order   []*item
	deletes []span
	items   int
	scans   uint32
	// inverted: an item has its right origin before its origin. Only forged updates do, and then it matters which cuts Yjs has
	// made when it comes to the item.
	inverted bool
	slab     []item
	budget   budget
}

// span is a range of clocks of a client.
type span struct {
	client, from, to uint64
}

// budget looks at the context from time to time.
type budget struct {
	ctx   context.Context
	steps int
}

// step counts one piece of work and returns the context's error, looked up every so often.
func (b *budget) step() error {
	if b.steps++; b.steps&0x3ff != 0 {
		return nil
	}
	return b.ctx.Err()
}

// load returns the integrated document of a state.
func load(ctx context.Context, state []byte, lim Limits) (*Document, error) {
	if int64(len(state)) > lim.Bytes {
		return nil, &LimitError{"bytes", lim.Bytes}
	}
	state, err := normal(state)
	if err != nil {
		return nil, err
	}
	l := &loader{
		doc:   &Document{roots: make(map[string]*node), lim: lim, state: state},
		peers: make(map[uint64]*peer), budget: budget{ctx: ctx},
	}
	for _, step := range []func() error{func() error { return l.decode(state) }, l.arrange, l.cut, l.integrateAll, l.deleteAll} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	l.doc.known = make(map[uint64]uint64, len(l.peers))
	for id, p := range l.peers {
		l.doc.known[id] = p.known
		if p.at < len(p.all) || p.known > p.end {
			l.doc.pending = true
		}
	}
	return l.doc, nil
}

// normal returns the state with each client in one section and without anything twice, which is how stored states are.
func normal(state []byte) ([]byte, error) {
	var d update.Decoder
	d.Reset(state, update.Limits{})
	for {
		_, _, _, ok, err := d.NextDelete()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if !ok {
			break
		}
	}
	if d.Canonical() {
		return state, nil
	}
	merged, err := update.Merge(nil, state, update.Empty)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return merged, nil
}

// decode takes the structs and the delete set of the state.
func (l *loader) decode(state []byte) error {
	var d update.Decoder
	var s update.Struct
	d.Reset(state, update.Limits{})
	for {
		ok, err := d.Next(&s)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if !ok {
			break
		}
		if err := l.take(&s); err != nil {
			return err
		}
	}
	for {
		client, clock, length, ok, err := d.NextDelete()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if !ok {
			return nil
		}
		l.deletes = append(l.deletes, span{client, clock, clock + length})
	}
}

// take keeps a struct if nothing before it is missing.
func (l *loader) take(s *update.Struct) error {
	if err := l.budget.step(); err != nil {
		return err
	}
	p := l.peers[s.Client]
	if p == nil {
		p = &peer{id: s.Client}
		l.peers[s.Client] = p
	}
	whole := s.Clock == p.total && s.Kind != update.Skip
	p.known = max(p.known, s.End())
	if !whole {
		return nil
	}
	it, err := l.newItem()
	if err != nil {
		return err
	}
	it.id, it.n, it.kind = s.ID, s.Len, s.Kind
	l.place(it, s)
	it.body = bodyOf(s)
	p.all = append(p.all, it)
	p.total = s.End()
	return nil
}

func (l *loader) newItem() (*item, error) {
	if l.items++; l.items > l.doc.lim.Items {
		return nil, &LimitError{"items", int64(l.doc.lim.Items)}
	}
	if len(l.slab) == 0 {
		l.slab = make([]item, min(max(l.items/2, 16), 4096))
	}
	it := &l.slab[0]
	l.slab = l.slab[1:]
	return it, nil
}

// place notes where a struct says that it belongs.
func (l *loader) place(it *item, s *update.Struct) {
	if !s.IsItem() {
		it.flags |= isGC
		return
	}
	if s.Info&update.HasOrigin != 0 {
		it.origin = s.Origin
		it.flags |= hasOrigin
	}
	if s.Info&update.HasRightOrigin != 0 {
		it.right0 = s.RightOrigin
		it.flags |= hasRight
	}
	if it.flags != 0 {
		l.inverted = l.inverted || it.invertedOrigins()
		return
	}
	if s.Info&update.HasParentSub != 0 {
		it.flags |= hasKey
		it.key = string(s.ParentSub)
		l.doc.emptyKey = l.doc.emptyKey || it.key == ""
	}
	if s.ParentIsID {
		it.flags |= parentByID
		it.origin = s.Parent
		return
	}
	it.parent = l.doc.root(string(s.ParentName))
}

// bodyOf returns the content of a struct without what only counts: the text, the values, the JSON of an embed.
func bodyOf(s *update.Struct) []byte {
	r := lib0.NewReader(s.Content)
	switch s.Kind {
	case update.String, update.Embed, update.Binary:
		b, _ := r.VarBytes()
		return b
	case update.Any, update.JSON:
		_, _ = r.VarUint()
		return s.Content[r.Pos():]
	case update.GC, update.Deleted:
		return nil
	default:
		return s.Content
	}
}

// root returns the root type of a name, which it makes if need be.
func (d *Document) root(name string) *node {
	n := d.roots[name]
	if n == nil {
		n = &node{kind: Unknown, name: name}
		d.roots[name] = n
	}
	return n
}

// arrange finds an order in which the structs can be integrated, and which cannot be since they name what is not there. It
// is the order of Yjs (integrateStructs): the greatest client first, and what it needs before it.
func (l *loader) arrange() error {
	clients := make([]*peer, 0, len(l.peers))
	for _, p := range l.peers {
		clients = append(clients, p)
	}
	slices.SortFunc(clients, func(a, b *peer) int { return cmp.Compare(b.id, a.id) })
	var stack []*peer
	for _, p := range clients {
		for !p.dead && p.at < len(p.all) {
			stack = append(stack[:0], p)
			p.busy = true
			for len(stack) > 0 {
				if err := l.budget.step(); err != nil {
					return err
				}
				stack = l.advance(stack)
			}
		}
	}
	return nil
}

// advance integrates the next struct of the client on top of the stack, or puts the client on top that it waits for.
func (l *loader) advance(stack []*peer) []*peer {
	p := stack[len(stack)-1]
	it := p.all[p.at]
	need, ok := l.lacks(it)
	if !ok {
		l.order = append(l.order, it)
		p.at++
		p.end = it.end()
		p.busy = false
		return stack[:len(stack)-1]
	}
	q := l.peers[need]
	if q == nil || q.busy || q.dead || q.at == len(q.all) { // a wall: all that waits has come to its end
		for _, s := range stack {
			s.dead, s.busy = true, false
		}
		return stack[:0]
	}
	q.busy = true
	return append(stack, q)
}

// lacks returns the client of something that the struct names and that is not integrated.
func (l *loader) lacks(it *item) (client uint64, lacks bool) {
	missing := func(id update.ID) bool {
		q := l.peers[id.Client]
		return id.Client != it.id.Client && (q == nil || id.Clock >= q.end)
	}
	switch {
	case it.has(isGC):
		return 0, false
	case it.has(hasOrigin|parentByID) && missing(it.origin):
		return it.origin.Client, true
	case it.has(hasRight) && missing(it.right0):
		return it.right0.Client, true
	}
	return 0, false
}

// cut cuts the structs into pieces.
func (l *loader) cut() error {
	note := func(client, clock uint64) {
		if p := l.peers[client]; p != nil && clock < p.end {
			p.cuts = append(p.cuts, clock)
		}
	}
	for _, it := range l.order {
		if it.has(hasOrigin) {
			note(it.origin.Client, it.origin.Clock+1)
		}
		if it.has(hasRight) {
			note(it.right0.Client, it.right0.Clock)
		}
	}
	for _, d := range l.deletes {
		note(d.client, d.from)
		note(d.client, d.to)
	}
	for _, p := range l.peers {
		slices.Sort(p.cuts)
		p.cuts = append(slices.Compact(p.cuts), math.MaxUint64)
		p.pieces = make([]*item, 0, p.at+min(len(p.cuts), p.at))
		at := 0
		for _, it := range p.all[:p.at] {
			for p.cuts[at] <= it.id.Clock {
				at++
			}
			if err := l.pieces(p, it, p.cuts[at:]); err != nil {
				return err
			}
		}
	}
	return nil
}

// pieces cuts one struct. The struct itself becomes the first piece, and the others hang on its right until it is integrated.
func (l *loader) pieces(p *peer, it *item, cuts []uint64) error {
	p.pieces = append(p.pieces, it)
	if it.has(isGC) || cuts[0] >= it.end() {
		return nil
	}
	end, last := it.end(), it
	c := cutter{kind: it.kind, rest: it.body}
	it.n = cuts[0] - it.id.Clock
	it.body = c.next(it.n)
	for i := 0; cuts[i] < end; i++ {
		if err := l.budget.step(); err != nil {
			return err
		}
		piece, err := l.newItem()
		if err != nil {
			return err
		}
		*piece = item{
			id: update.ID{Client: it.id.Client, Clock: cuts[i]}, n: min(cuts[i+1], end) - cuts[i],
			kind: it.kind, flags: it.flags&(hasKey|hasRight) | hasOrigin, origin: last.last(), right0: it.right0, key: it.key,
		}
		piece.body = c.next(piece.n)
		last.right = piece
		p.pieces = append(p.pieces, piece)
		last = piece
	}
	return nil
}

// find returns the piece that holds an id, which must be integrated.
func (l *loader) find(id update.ID) *item { return l.peers[id.Client].pieces[l.position(id)] }

// position returns the index of that piece among those of its client.
func (l *loader) position(id update.ID) int {
	i, ok := slices.BinarySearchFunc(l.peers[id.Client].pieces, id.Clock, func(it *item, clock uint64) int { return cmp.Compare(it.id.Clock, clock) })
	if !ok {
		i--
	}
	return i
}

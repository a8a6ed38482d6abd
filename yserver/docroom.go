package yserver

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// documentRoom is a room with a Yjs document, which may be out of memory while
// nobody asks for it: doc is nil then, and the presence goes on without.
type documentRoom struct {
	*room

	doc      *ydoc.Doc
	loading  bool
	stopped  bool          // it stands still, see stop
	wakers   []func(error) // who waits for the document
	put      []message     // aside, until it is there
	denied   denyList
	used     time.Time // when the document was asked for last
	presence presence
	batch    *batch
	serial   uint64 // of the batch being gathered
	waiting  []*member
	journal  journal
	fold     fold
	saver    saver // of the OnSave hook
	notifier saver // of the webhook
	versions versioner
	docBytes int64 // what the server was told

	frames    []*frame // scratch
	stateBody []byte   // the state that stateHead frames
	state     *frame   // step 2 for an empty client, shared by all joiners
}

// newDocumentRoom makes the room of a loaded document; the caller starts run.
func newDocumentRoom(srv *Server, p *party, e *entry) *documentRoom {
	r := &documentRoom{room: &room{}, batch: &batch{}, serial: 1}
	r.room.kind = r
	r.room.init(srv, p, e)
	r.used = r.now
	r.initSavers()
	r.presence.init(p)
	return r
}

// open gives the room its document.
func (r *documentRoom) open(l loaded) {
	r.doc, r.denied = l.doc, l.denied
	r.journal.init(l)
	r.fold.init(r.party.Document, l.tailRows, l.tailBytes)
	r.account()
}

// handle dispatches a client's message. One that needs the document waits for
// it, and what comes behind it waits in its socket.
func (r *documentRoom) handle(m message) {
	if m.slot {
		r.events = r.now
		r.hooks.put(r.customCall(m))
		return
	}
	if m.from.stale {
		return
	}
	switch m.doc.Type {
	case protocol.MessageSync, protocol.MessageSyncStatus:
		r.used = r.now
		if r.doc == nil {
			r.put = append(r.put, m)
			r.wake(func(error) {})
			return
		}
		if m.doc.Type == protocol.MessageSync {
			r.handleSync(m.from, m.doc)
		} else {
			r.handleSyncStatus(m.from, m.doc.Payload)
		}
	case protocol.MessageAwareness:
		r.handleAwareness(m.from, m.doc.Payload)
	}
}

// customCall gives a custom message to whoever wants it.
func (r *documentRoom) customCall(m message) hookCall {
	text := m.payload.String()
	return hookCall{name: "OnCustomMessage", slot: true, fn: func(ctx context.Context, value any) error {
		if hook := r.party.Document.OnCustomMessage; hook != nil {
			hook(m.from.conn, text)
		}
		if h, ok := value.(CustomMessageHandler); ok {
			return h.OnCustomMessage(ctx, m.from.conn, text)
		}
		return nil
	}}
}

// awake runs fn in the room's goroutine once the document is in memory.
func (r *room) awake(ctx context.Context, fn func(*documentRoom)) error {
	doc := r.kind.(*documentRoom)
	outcome := make(chan error, 1)
	r.post(func() {
		doc.wake(func(err error) {
			if err == nil {
				doc.used = doc.now
				fn(doc)
			}
			outcome <- err
		})
	})
	select {
	case err := <-outcome:
		return err
	case <-r.done:
		return errRoomEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *documentRoom) full() bool {
	return r.journal.weight() > r.party.Limits.Uncommitted || r.loading || r.stopped || !r.journal.empty() && r.srv.laden()
}

func (r *documentRoom) flush() {
	r.flushBatch()
	r.flushPresence()
}

// flushBatch starts the append of what was accepted, then sends it.
func (r *documentRoom) flushBatch() {
	r.append()
	r.fanOut()
}

func (r *documentRoom) fire(d due) {
	switch d {
	case dueSplit:
		r.splitWaiting()
	case dueActivate:
		r.activateAll()
	case dueStale:
		r.expirePresence()
	case dueRetry:
		r.resubmit()
	case dueSave:
		r.saver.save(r)
	case dueNotify:
		r.notifier.save(r)
	case dueOutbox:
		r.notifier.outbox.write(r)
	case dueVersion:
		r.versions.due(r)
	case duePresence:
		// flush runs at the end of every turn
	}
}

func (r *documentRoom) enter(m *member) { r.greet(m) }

func (r *documentRoom) leave(m *member) {
	m.main, m.acks = nil, nil
	r.presence.leave(m)
}

func (r *documentRoom) settled() bool {
	return len(r.batch.items) == 0 && r.journal.empty() && !r.fold.running && r.saver.idle() && r.notifier.idle() && !r.loading
}

func (r *documentRoom) hurry() {
	r.saver.hurry(r)
	r.notifier.hurry(r)
}

func (r *documentRoom) abandon() {
	r.forgetLog()
	r.versions.forget()
	for _, wake := range r.wakers {
		wake(errRoomEnded)
	}
	r.wakers = nil
}

func (r *documentRoom) end() {
	r.versions.last(r)
	r.srv.counters.documentBytes.Add(-r.docBytes)
	r.docBytes = 0
}

// wake calls then once the document is in memory, or cannot be had.
func (r *documentRoom) wake(then func(error)) {
	if r.doc != nil && !r.stopped {
		then(nil)
		return
	}
	r.wakers = append(r.wakers, then)
	if r.loading || r.stopped {
		return
	}
	r.loading = true
	r.goBeside(func() func() {
		l, err := r.srv.loadDocument(r.party, r.entry.id)
		return func() { r.woken(l, err) }
	})
}

// woken takes the document, and what waited for it. Who sent something that it
// cannot be given to has to connect again.
func (r *documentRoom) woken(l loaded, err error) {
	r.loading = false
	if err == nil && r.moved(l) {
		err = persist.ErrEpoch
	}
	if err == nil {
		r.open(l)
	}
	wakers, put := r.wakers, r.put
	r.wakers, r.put = nil, nil
	if errors.Is(err, persist.ErrEpoch) || errors.Is(err, persist.ErrDeleted) {
		r.outdate(err)
	}
	for _, then := range wakers {
		then(err)
	}
	for _, m := range put {
		switch {
		case m.from.gone:
		case err != nil:
			m.from.peer.close(closeTryLater, "the document cannot be loaded now")
		default:
			r.handle(m)
		}
	}
}

// active: presence and heartbeats need no document, but they need the room. The
// document is needed while there are members that have not asked for it.
func (r *documentRoom) active() (last time.Time, stay bool) {
	last = r.used
	if r.timers.set(dueActivate) && slices.ContainsFunc(r.members, func(m *member) bool { return !m.synced }) {
		last = r.now
	}
	return last, r.timers.set(dueStale) || len(r.presence.order) > 0
}

// slumber is what a room keeps that hibernates: its presence, and which state of
// the document its members know.
type slumber struct {
	presence presence
	epoch    persist.Epoch
	seq      persist.Seq
}

// sleep drops the document; what is known of presence stays.
func (r *documentRoom) sleep() any {
	r.versions.last(r)
	r.doc, r.denied, r.state, r.stateBody = nil, nil, nil, nil
	r.batch = &batch{}
	r.account()
	return slumber{r.presence, r.journal.epoch, r.journal.seq}
}

// account tells the server what the document takes.
func (r *documentRoom) account() {
	size := int64(0)
	if r.doc != nil {
		size = int64(r.doc.Stats().Bytes)
	}
	r.srv.counters.documentBytes.Add(size - r.docBytes)
	r.docBytes = size
}

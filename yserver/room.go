package yserver

import (
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

const (
	// gatherTurns is how often the room lets its readers run before it flushes:
	// what they bring meanwhile goes into the same frame.
	gatherTurns = 3
	// gatherMessages bounds one batch, so that a flood does not delay a flush.
	gatherMessages = 1024
)

// message is one parsed frame of a client on its way into the room.
type message struct {
	from *member
	msg  protocol.Message
}

// room is one live room. Its goroutine, run, owns everything in the second and
// third group; others talk to it through inbox and control, which are
// unbuffered: a hand-off that completed means that the room has it.
type room struct {
	// Static after construction.
	srv     *Server
	party   *party
	key     persist.Key
	entry   *entry
	log     *slog.Logger
	api     *Room
	hooks   *serial
	inbox   chan message
	control chan func()
	commits chan commit // capacity 1: at most one append is under way
	done    chan struct{}
	beside  sync.WaitGroup // goroutines that work for the room

	// Owned by run.
	doc      *ydoc.Doc
	presence presence
	members  []*member
	batch    *batch
	serial   uint64 // of the batch being gathered
	waiting  []*member
	journal  journal
	fold     fold
	saver    saver
	timers   timers
	now      time.Time // of the turn
	draining bool
	over     bool
	docBytes int64 // what the server was told

	frames    []*frame // scratch
	stateBody []byte   // the state that stateHead frames
	state     *frame   // step 2 for an empty client, shared by all joiners
}

// newRoom makes the room of a loaded document; the caller starts run.
func newRoom(srv *Server, p *party, e *entry, l loaded) *room {
	r := &room{
		srv:     srv,
		party:   p,
		key:     persist.Key{Party: e.id.party, Room: e.id.room},
		entry:   e,
		log:     srv.log.With("party", e.id.party, "room", e.id.room),
		inbox:   make(chan message),
		control: make(chan func()),
		commits: make(chan commit, 1),
		done:    make(chan struct{}),
		doc:     l.doc,
		batch:   &batch{},
		serial:  1,
		now:     time.Now(),
	}
	r.api = &Room{srv: srv, id: e.id}
	r.hooks = newSerial(r.log, &srv.counters.hookPanics)
	r.presence.init(p)
	r.journal.init(l)
	r.fold.init(p.Document, l.tailRows, l.tailBytes)
	r.timers.init()
	r.timers.at(dueUnload, r.now.Add(p.UnloadAfter))
	r.account()
	return r
}

// run is the room's goroutine.
func (r *room) run() {
	defer r.beside.Wait()
	defer close(r.done)
	defer r.timers.stop()
	defer func() {
		if v := recover(); v != nil {
			r.die(v)
		}
	}()
	for !r.over {
		r.wait()
		r.gather()
		r.flush()
	}
	r.account()
}

// wait takes one event.
func (r *room) wait() {
	select {
	case m := <-r.intake():
		r.now = time.Now()
		r.handle(m)
	case f := <-r.control:
		r.now = time.Now()
		f()
	case c := <-r.commits:
		r.now = time.Now()
		r.committed(c)
	case <-r.timers.c():
		r.now = time.Now()
		r.fire()
	}
}

// gather takes what else is there, giving readers that are ready to run the
// chance to bring theirs. It never waits.
func (r *room) gather() {
	taken := 0
	for range gatherTurns {
		runtime.Gosched()
		for taken < gatherMessages && !r.over && r.takeWaiting() {
			taken++
		}
	}
}

func (r *room) takeWaiting() bool {
	select {
	case m := <-r.intake():
		r.handle(m)
	case f := <-r.control:
		f()
	case c := <-r.commits:
		r.committed(c)
	default:
		return false
	}
	return true
}

// intake is the inbox, or nil while too much waits for the store: then readers
// wait, then TCP, then browsers.
func (r *room) intake() chan message {
	if r.journal.bytes() > r.party.Limits.Uncommitted {
		return nil
	}
	return r.inbox
}

// flush sends what the turn brought and lets the room go on with its life.
func (r *room) flush() {
	r.flushBatch()
	r.flushPresence()
	if r.draining {
		r.drain()
	}
	r.timers.arm()
}

// flushBatch starts the append of what was accepted, then sends it.
func (r *room) flushBatch() {
	r.append()
	r.fanOut()
}

// handle dispatches a client's message.
func (r *room) handle(m message) {
	if m.from.gone {
		return
	}
	switch m.msg.Type {
	case protocol.MessageSync:
		r.handleSync(m.from, m.msg)
	case protocol.MessageAwareness:
		r.handleAwareness(m.from, m.msg.Payload)
	case protocol.MessageSyncStatus:
		r.handleSyncStatus(m.from, m.msg.Payload)
	}
}

// fire runs the deadlines that are due.
func (r *room) fire() {
	for {
		d, ok := r.timers.next(r.now)
		if !ok {
			return
		}
		switch d {
		case dueSplit:
			r.splitWaiting()
		case duePresence:
			// flushPresence runs at the end of every turn
		case dueActivate:
			r.activateAll()
		case dueStale:
			r.expirePresence()
		case dueRetry:
			r.resubmit()
		case dueSave:
			r.save()
		case dueUnload:
			r.unload()
		}
	}
}

// do runs fn in the room's goroutine and waits for it. It reports false when
// the room has ended.
func (r *room) do(fn func()) bool {
	ran := make(chan struct{})
	select {
	case r.control <- func() { defer close(ran); fn() }:
	case <-r.done:
		return false
	}
	select {
	case <-ran:
		return true
	case <-r.done: // it panicked, and the room with it
		return false
	}
}

// post is do without waiting for fn to have run.
func (r *room) post(fn func()) bool {
	select {
	case r.control <- fn:
		return true
	case <-r.done:
		return false
	}
}

// goBeside runs work in a goroutine of its own and brings what it returns back
// into the room.
func (r *room) goBeside(work func() func()) {
	r.beside.Add(1)
	go func() {
		defer r.beside.Done()
		if then := work(); then != nil {
			r.post(then)
		}
	}()
}

// join lets a member in: it gets the greeting and is one of the room's.
func (r *room) join(m *member) error {
	err := errRoomEnded
	r.do(func() {
		switch {
		case r.draining:
			err = errDraining
		case len(r.members) >= r.party.Limits.Peers:
			err = errTooManyPeers
		default:
			err, m.gone, m.joined = nil, false, r.now
			r.flushBatch() // it is in what the newcomer will ask for
			m.index = len(r.members)
			r.members = append(r.members, m)
			r.timers.clear(dueUnload)
			r.greet(m)
		}
	})
	return err
}

// leave takes a member out, with the presence that it owned.
func (r *room) leave(m *member) {
	if m.gone {
		return
	}
	m.gone = true
	last := len(r.members) - 1
	r.members[m.index] = r.members[last]
	r.members[m.index].index = m.index
	r.members[last] = nil
	r.members = r.members[:last]
	m.main, m.acks = nil, nil
	r.presence.leave(m)
	if last == 0 {
		r.timers.at(dueUnload, r.now.Add(r.party.UnloadAfter))
		r.saver.hurry(r)
	}
}

// unload ends a room that nobody is in, once everything it has is stored.
func (r *room) unload() {
	if len(r.members) > 0 {
		return
	}
	if !r.settled() || !r.srv.registry.retire(r.entry) {
		r.timers.at(dueUnload, r.now.Add(min(r.party.UnloadAfter, time.Second)))
		return
	}
	r.over = true
}

// settled reports whether nothing would be lost if the room ended now.
func (r *room) settled() bool {
	return len(r.batch.items) == 0 && r.journal.empty() && !r.fold.running && r.saver.idle() && r.hooks.idle()
}

// drain is what a room does at shutdown, turn by turn: store and save what it
// has, tell the senders, close the sockets, and end when the last has left.
func (r *room) drain() {
	if !r.settled() {
		return
	}
	for _, m := range r.members {
		m.peer.close(closeServiceRestart, "server is restarting")
	}
	if len(r.members) == 0 {
		r.srv.registry.remove(r.entry)
		r.over = true
	}
}

// startDrain begins the end of the room.
func (r *room) startDrain() {
	r.draining = true
	r.saver.hurry(r)
}

// evict closes every connection and ends the room at once; what is not yet
// committed was acknowledged to nobody, its senders will bring it again.
func (r *room) evict(code int, reason string) {
	r.srv.registry.remove(r.entry)
	for _, m := range r.members {
		m.peer.close(code, reason)
	}
	r.forgetLog()
	r.over = true
}

// die ends a room that panicked. Others live on; the next join loads it again.
func (r *room) die(v any) {
	r.srv.counters.roomPanics.Add(1)
	r.log.Error("room panicked; it is loaded again by the next join", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	r.evict(closeInternalError, "internal error")
	r.forget()
}

// account tells the server what the document takes.
func (r *room) account() {
	size := int64(0)
	if !r.over && r.doc != nil {
		size = int64(r.doc.Stats().Bytes)
	}
	r.srv.counters.documentBytes.Add(size - r.docBytes)
	r.docBytes = size
}

func (r *room) forget() {
	r.srv.counters.documentBytes.Add(-r.docBytes)
	r.docBytes = 0
}

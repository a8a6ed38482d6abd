package yserver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/relay"
)

const (
	// gatherTurns is how often the room lets its readers run before it flushes:
	// what they bring meanwhile goes into the same frame.
	gatherTurns = 3
	// gatherMessages bounds one batch, so that a flood does not delay a flush.
	gatherMessages = 1024
)

// message is a frame of a client on its way into the room.
type message struct {
	from    *member
	doc     protocol.Message   // for a document room
	payload Payload            // for everybody else
	frame   *relay.ClientFrame // what payload says, in a configured message room
	slot    bool               // it has its place among the hook calls
}

// kind is what a room is: a document, or messages. The room's goroutine owns it
// and makes all calls.
type kind interface {
	// handle takes a message of a member.
	handle(m message)
	// full reports whether clients are read no further for now.
	full() bool
	// committed takes the store's answer.
	committed(c commit)
	// flush sends what the turn brought.
	flush()
	// fire does what is due.
	fire(d due)
	// enter greets a member that is among the others now.
	enter(m *member)
	// regranted shows a member as what it is now; hidden: its presence ends.
	regranted(m *member, hidden bool)
	// leave takes back what a member had, who is gone.
	leave(m *member)
	// settled reports whether nothing would be lost if the room ended now.
	settled() bool
	// hurry finishes what waits for a better moment: the last member left, or
	// the server ends.
	hurry()
	// abandon forgets at once what is not stored.
	abandon()
	// end is the last call: the room has ended.
	end()
	// sleep returns what a hibernating room keeps beside its members.
	sleep() any
	// active returns when something happened last that a hibernating room would
	// have woken up for, and whether there is a reason to stay awake.
	active() (last time.Time, stay bool)
}

// room is one live room. Its goroutine, run, owns kind and everything in the
// second group; others talk to it through inbox and control, which are
// unbuffered: a hand-off that completed means that the room has it.
type room struct {
	// Static after construction.
	srv     *Server
	party   *party
	key     persist.Key
	entry   *entry
	log     *slog.Logger
	api     *Room
	hooks   hooks
	inbox   chan message
	control chan func()
	commits chan commit // capacity 1: at most one append is under way
	done    chan struct{}
	beside  sync.WaitGroup // goroutines that work for the room
	slept   atomic.Bool    // it ended to hibernate: its members live on

	// Owned by run.
	kind     kind
	members  []*member
	byID     memberIndex
	timers   timers
	now      time.Time // of the turn
	events   time.Time // when hooks or members last did something, connecting included
	draining bool
	over     bool
}

// init makes an empty room; the caller sets its kind, and starts run.
func (r *room) init(srv *Server, p *party, e *entry) {
	r.srv = srv
	r.party = p
	r.key = persist.Key{Party: e.id.party, Room: e.id.room}
	r.entry = e
	r.log = srv.log.With("party", e.id.party, "room", e.id.room)
	r.inbox = make(chan message)
	r.control = make(chan func())
	r.commits = make(chan commit, 1)
	r.done = make(chan struct{})
	r.now = time.Now()
	r.events = r.now
	r.api = &Room{srv: srv, party: p, id: e.id}
	r.hooks.init(r)
	r.timers.init()
	r.timers.at(dueUnload, r.now.Add(p.UnloadAfter))
	r.doze()
}

// run is the room's goroutine.
func (r *room) run() {
	defer r.beside.Wait()
	defer close(r.done)
	defer r.hooks.end()
	defer r.timers.stop()
	defer func() {
		if v := recover(); v != nil {
			r.die(v)
		}
	}()
	r.timers.arm() // there may be nothing to do but to end: a request needs no turn
	for !r.over {
		r.wait()
		r.gather()
		r.flush()
	}
	r.kind.end()
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
		r.kind.committed(c)
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
		r.kind.committed(c)
	default:
		return false
	}
	return true
}

// intake is the inbox, or nil while the room cannot take more: then readers
// wait, then TCP, then browsers.
func (r *room) intake() chan message {
	if r.kind.full() {
		return nil
	}
	return r.inbox
}

func (r *room) handle(m message) {
	if m.from.gone {
		if m.slot {
			r.hooks.free()
		}
		return
	}
	r.kind.handle(m)
}

// flush sends what the turn brought and lets the room go on with its life. What
// a room that hibernates had is that of its successor by now.
func (r *room) flush() {
	if r.slept.Load() {
		return
	}
	r.kind.flush()
	if r.draining {
		r.drain()
	}
	r.timers.arm()
}

// fire runs the deadlines that are due.
func (r *room) fire() {
	for !r.over {
		d, ok := r.timers.next(r.now)
		switch {
		case !ok:
			return
		case d == dueUnload:
			r.unload()
		case d == dueSleep:
			r.hibernate()
		default:
			r.kind.fire(d)
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

// join lets a member in: it gets the greeting and is one of the room's. Then the
// hook is called, whose outcome goes to connected.
func (r *room) join(m *member, connect *hookCall) error {
	err := errRoomEnded
	if r.party.Document == nil {
		r.do(func() { err = r.letIn(m, connect) })
		return err
	}
	// The document was there when the connection was prepared; that may be long ago.
	if failed := r.awake(context.Background(), func(*documentRoom) { err = r.letIn(m, connect) }); failed != nil {
		return failed
	}
	return err
}

func (r *room) letIn(m *member, connect *hookCall) error {
	switch {
	case r.draining:
		return errDraining
	case len(r.members) >= r.party.Limits.Peers:
		return errTooManyPeers
	}
	if err := r.idTaken(m); err != nil {
		return err
	}
	m.gone, m.joined = false, r.now
	r.kind.flush() // it is in what the newcomer will ask for
	r.add(m)
	r.kind.enter(m)
	if connect != nil {
		r.hooks.put(*connect)
	}
	return nil
}

// add makes m one of the members.
func (r *room) add(m *member) {
	m.index = len(r.members)
	r.members = append(r.members, m)
	r.byID.add(m, r.members)
	m.live.Store(r)
	r.events = r.now
	r.timers.clear(dueUnload)
}

// leave takes a member out, with what it had.
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
	r.byID.remove(m, r.members)
	r.kind.leave(m)
	if last == 0 {
		r.timers.at(dueUnload, r.now.Add(r.party.UnloadAfter))
		r.kind.hurry()
	}
}

// unload ends a room that nobody is in, once everything it has is stored.
func (r *room) unload() {
	if len(r.members) > 0 {
		return
	}
	if at := r.hooks.used().Add(r.party.UnloadAfter); at.After(r.now) {
		r.timers.at(dueUnload, at)
		return
	}
	if !r.settled() || !r.srv.registry.retire(r.entry, r.hooks.idle) {
		r.timers.at(dueUnload, r.now.Add(min(r.party.UnloadAfter, time.Second)))
		return
	}
	r.over = true
}

// settled reports whether nothing would be lost if the room ended now.
func (r *room) settled() bool { return r.kind.settled() && r.hooks.idle() }

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
	r.kind.hurry()
}

// evict closes every connection and ends the room at once; what is not yet
// committed was acknowledged to nobody, its senders will bring it again.
func (r *room) evict(code int, reason string) {
	r.srv.registry.remove(r.entry)
	for _, m := range r.members {
		m.peer.close(code, reason)
	}
	r.kind.abandon()
	r.over = true
}

// die ends a room that panicked. Others live on; the next join loads it again.
func (r *room) die(v any) {
	r.srv.counters.roomPanics.Add(1)
	r.log.Error("room panicked; it is loaded again by the next join", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	r.evict(closeInternalError, "internal error")
	r.kind.end()
}

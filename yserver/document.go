package yserver

import (
	"errors"
	"time"

	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// askAgain is the least time between two questions to one peer for what we
// lack, while nothing of it came.
const askAgain = 10 * time.Second

// activateAfter is how long a member may be silent before it gets updates
// unasked. Every stock client asks at once.
const activateAfter = time.Second

// asking is the last question to a peer: when, and how much had been released
// by then.
type asking struct {
	at       time.Time
	released uint64
}

// greet sends what a document room says first, as y-partyserver's onConnect:
// step 1, then all presence in one frame if there is any. Before that, who asked
// for the epoch is told.
func (r *documentRoom) greet(m *member) {
	if r.staleClaim(m) {
		r.stale(m)
		return
	}
	sv := protocol.AppendSyncStep1(nil, r.doc.StateVector())
	r.send(m, held{gen: r.journal.latest(), frame: newFrame(opBinary, kindReply, sv, nil)})
	if f := r.presence.all(); f != nil {
		r.send(m, held{frame: f})
	}
	r.timers.atMost(dueActivate, r.now.Add(activateAfter))
}

// activate lets a member have the updates of others. Before it has asked with
// step 1 they would open gaps in its document; the answer has them all. A member
// that never asks gets what it lacks since it joined in one update.
func (r *documentRoom) activate(m *member) {
	if m.synced || m.gone || m.stale {
		return
	}
	r.flushBatch()
	m.synced = true
	if m.missed {
		u := r.doc.AppendSince(nil, m.lacks)
		m.lacks, m.missed = nil, false
		f := newFrame(opBinary, kindReply, protocol.AppendSyncHeader(nil, protocol.SyncUpdate, len(u)), u)
		r.send(m, held{gen: r.journal.latest(), frame: f})
	}
}

// activateAll activates the members that have been here long enough.
func (r *documentRoom) activateAll() {
	for _, m := range r.members {
		if m.synced {
			continue
		}
		if at := m.joined.Add(activateAfter); at.After(r.now) {
			r.timers.atMost(dueActivate, at)
			continue
		}
		r.activate(m)
	}
}

// handleSync takes a sync message.
func (r *documentRoom) handleSync(m *member, msg protocol.Message) {
	if len(r.denied) > 0 && r.staleMessage(msg) {
		r.stale(m)
		return
	}
	if msg.Sync != protocol.SyncStep1 {
		r.activate(m)
	}
	switch msg.Sync {
	case protocol.SyncStep1:
		r.answerStep1(m, msg.Payload)
	case protocol.SyncStep2:
		r.applyFrom(m, msg.Payload)
	case protocol.SyncUpdate:
		if r.applyFrom(m, msg.Payload) {
			r.ask(m)
		}
	}
}

// answerStep1 replies with what the state vector misses. The reply tells the
// peer what the server has, so it waits for what is not committed yet; what it
// says is settled now, so that a busy room answers too.
func (r *documentRoom) answerStep1(m *member, sv []byte) {
	f, err := r.step2(sv)
	if err != nil {
		r.srv.counters.badFrames.Add(1)
		return
	}
	r.flushBatch() // in the answer already, so it is not sent to m again
	m.synced, m.lacks, m.missed = true, nil, false
	r.send(m, held{gen: r.journal.latest(), frame: f, sv: sv})
	if since := r.srv.committer.failingSince(); !since.IsZero() && r.now.Sub(since) >= joinAnyway {
		r.answerClean()
	}
}

// step2 frames the answer to a state vector. All clients that come with nothing
// share one copy of the document, until it changes.
func (r *documentRoom) step2(sv []byte) (*frame, error) {
	if len(sv) == 1 && sv[0] == 0 {
		if state := r.doc.State(); r.state == nil || !aliases(state, r.stateBody) {
			r.stateBody = state
			r.state = newFrame(opBinary, kindReply, protocol.AppendSyncHeader(nil, protocol.SyncStep2, len(state)), state)
		}
		return r.state, nil
	}
	diff, err := r.doc.AppendDiff(nil, sv)
	if err != nil {
		return nil, err
	}
	return newFrame(opBinary, kindReply, protocol.AppendSyncHeader(nil, protocol.SyncStep2, len(diff)), diff), nil
}

// applyFrom takes a client's update: into the document, into the log and into
// the batch. It reports whether the peer should be asked for what we lack.
func (r *documentRoom) applyFrom(m *member, u []byte) (ask bool) {
	if !m.mayWrite() {
		m.tellReadOnly("")
		return false
	}
	applied, err := r.doc.Apply(u)
	switch {
	case errors.Is(err, update.ErrLimit):
		r.overLimit(m, err)
		return false
	case err != nil:
		r.srv.counters.badFrames.Add(1)
		return false
	}
	m.parked = m.parked || applied.Parked
	r.take(m, applied, u)
	return applied.Missing
}

// take enters what an update changed into the log and the batch.
func (r *documentRoom) take(from *member, applied ydoc.Applied, src []byte) {
	if applied.Log != nil {
		r.logUpdate(keep(applied.Log, src), applied.From)
	}
	if applied.New != nil {
		r.add(from, applied, src)
	}
	if applied.Released {
		r.journal.released++
	}
	if applied.Log != nil || applied.New != nil {
		r.state = nil
		r.versions.changed(r)
		r.saver.changed(r)
		r.notifier.changed(r)
		r.account()
	}
}

// ask sends step 1 to a peer whose update needs what we lack: the peer has it.
// Only an update asks, never a step 2, or a client that itself waits for what
// nobody has would be asked for ever.
func (r *documentRoom) ask(m *member) {
	if !m.asked.at.IsZero() && m.asked.released == r.journal.released && r.now.Sub(m.asked.at) < askAgain {
		return
	}
	m.asked = asking{r.now, r.journal.released}
	sv := protocol.AppendSyncStep1(nil, r.doc.StateVector())
	r.send(m, held{frame: newFrame(opBinary, kindReply, sv, nil)})
}

// overLimit refuses a well-formed update that a limit forbids, in a way that
// the client learns of: from now on it reads only. A document at its limit is
// read-only for everybody.
func (r *documentRoom) overLimit(m *member, err error) {
	r.srv.counters.overLimit.Add(1)
	limit := "limit"
	var le *ydoc.LimitError
	if errors.As(err, &le) {
		limit = string(le.Limit)
	}
	r.log.Warn("update refused by a limit; the connection is read-only now", "limit", limit, "peer", m.conn.id)
	reason := "over the server's " + limit + " limit: changes are not saved"
	m.limited.Store(true)
	m.tellReadOnly(reason)
}

// handleSyncStatus echoes the payload once everything that the peer sent
// before is committed. That is how an application shows "saved".
func (r *documentRoom) handleSyncStatus(m *member, payload []byte) {
	if m.batch == r.serial {
		r.flushBatch() // its echo comes before
	}
	f := newFrame(opBinary, kindReply, protocol.AppendSyncStatus(nil, payload), nil)
	h := held{gen: r.journal.latest(), frame: f, ack: true}
	switch {
	case len(m.main) > 0:
		m.main = append(m.main, h)
	case h.gen > r.journal.committed || len(m.acks) > 0:
		m.acks = append(m.acks, h)
		r.await(m)
	default:
		m.peer.push(f)
	}
}

// catchUp sends a peer that was conflated what it lost, in one update, and
// presence as it is now.
func (r *documentRoom) catchUp(m *member) {
	if m.gone || m.stale {
		return
	}
	lost, presence := m.peer.takeLost(nil)
	diff := r.doc.AppendSince(nil, lost) // without clocks it still has the deletes
	f := newFrame(opBinary, kindReply, protocol.AppendSyncHeader(nil, protocol.SyncUpdate, len(diff)), diff)
	r.send(m, held{gen: r.journal.latest(), frame: f})
	if presence {
		if f := r.presence.all(); f != nil {
			r.send(m, held{frame: f})
		}
	}
}

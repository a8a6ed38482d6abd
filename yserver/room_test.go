package yserver_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/ydoc"
	"github.com/yserverd/yserverd/yserver"
)

// gatedStore lets a test decide when appends commit.
type gatedStore struct {
	yserver.Store
	mu     sync.Mutex
	gate   chan struct{} // nil: open
	fail   error
	loads  atomic.Int64
	loadIn chan struct{} // when set, Load waits for it to be closed
}

func newGatedStore() *gatedStore { return &gatedStore{Store: persisttest.NewMemory()} }

func (s *gatedStore) Load(ctx context.Context, k persist.Key) (persist.Document, error) {
	s.loads.Add(1)
	if s.loadIn != nil {
		<-s.loadIn
	}
	return s.Store.Load(ctx, k)
}

func (s *gatedStore) Append(ctx context.Context, a []persist.Append) ([]persist.Result, error) {
	s.mu.Lock()
	gate, fail := s.gate, s.fail
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if fail != nil {
		return nil, fail
	}
	return s.Store.Append(ctx, a)
}

// hold makes appends wait until the returned function is called.
func (s *gatedStore) hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gate := make(chan struct{})
	s.gate = gate
	return sync.OnceFunc(func() {
		s.mu.Lock()
		s.gate = nil
		s.mu.Unlock()
		close(gate)
	})
}

func (s *gatedStore) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func withStore(s yserver.Store) func(*yserver.Config, *yserver.Party) {
	return func(c *yserver.Config, _ *yserver.Party) { c.Store = s }
}

func withDocument(d yserver.Document) func(*yserver.Config, *yserver.Party) {
	return func(_ *yserver.Config, p *yserver.Party) { p.Document = &d }
}

const helloUpdate = "01 01 01 00 04 01 01 74 02 68 69 00" // client 1 inserts "hi" into text t

func TestGreetingIsStep1ThenPresence(t *testing.T) {
	k := start(t)
	a := k.dial("/parties/main/r")
	a.expect("00 00 01 00")
	a.update(typed(1, 0, "hi"))
	a.expect("00 02 0c" + helloUpdate)
	a.presence(1, 1, `{"n":"A"}`)
	a.expect("01 0d 01 01 01 09 7b226e223a2241227d")
	b := k.dial("/parties/main/r")
	b.expect("00 00 03 01 01 02")
	b.expect("01 0d 01 01 01 09 7b226e223a2241227d")
}

func TestStep1IsAlwaysAnsweredWithStep2(t *testing.T) {
	k := start(t)
	a := k.dial("/parties/main/r")
	a.expect("00 00 01 00")
	a.step1([]byte{0})
	a.expect("00 01 02 00 00")
	a.update(typed(1, 0, "hi"))
	a.expect("00 02 0c" + helloUpdate)
	a.step1([]byte{0})
	a.expect("00 01 0c" + helloUpdate)
	a.step1([]byte{1, 1, 2})
	a.expect("00 01 02 00 00")
}

func TestOthersGetAnUpdateAtOnceAndItsSenderAfterTheCommit(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store))
	a, _ := k.join("/parties/main/r")
	b, _ := k.join("/parties/main/r")
	release := store.hold()
	defer release()
	a.update(typed(1, 0, "hi"))
	b.expect("00 02 0c" + helloUpdate)
	a.silence()
	release()
	a.expect("00 02 0c" + helloUpdate)
}

func TestCommittedDurabilityHoldsEverybody(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store), withDocument(yserver.Document{Durability: yserver.DurabilityCommitted}))
	a, _ := k.join("/parties/main/r")
	b, _ := k.join("/parties/main/r")
	release := store.hold()
	defer release()
	a.update(typed(1, 0, "hi"))
	b.silence()
	release()
	b.expect("00 02 0c" + helloUpdate)
	a.expect("00 02 0c" + helloUpdate)
}

func TestSendersGetTheOthersPartWithoutACommit(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store))
	a, _ := k.join("/parties/main/r")
	b, _ := k.join("/parties/main/r")
	release := store.hold()
	defer release()
	a.update(typed(1, 0, "a"))
	b.update(typed(2, 0, "b"))
	require.Equal(t, typed(2, 0, "b"), a.frame(protocol.SyncUpdate), "a lacks b's part")
	require.Equal(t, typed(1, 0, "a"), b.frame(protocol.SyncUpdate), "b lacks a's part")
	a.silence()
	b.silence()
	release()
	require.Equal(t, typed(1, 0, "a"), a.frame(protocol.SyncUpdate), "a's echo")
	require.Equal(t, typed(2, 0, "b"), b.frame(protocol.SyncUpdate), "b's echo")
}

// What an update sets free was written by several: each of them is told by it that
// its own is stored, so it waits, and whoever wrote nothing of it does not.
func TestWhatWasParkedComesBackAfterTheCommit(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store))
	early, _ := k.join("/parties/main/r")
	late, _ := k.join("/parties/main/r")
	reader, _ := k.join("/parties/main/r")
	release := store.hold()
	defer release()
	early.update(typed(1, 2, "lo"))
	early.expect("00 00 01 00") // it is asked for what comes before
	late.update(typed(1, 0, "hi"))
	whole := reader.frame(protocol.SyncUpdate)
	early.silence()
	late.silence()
	late.update(typed(2, 0, "!"))
	require.Equal(t, typed(2, 0, "!"), reader.frame(protocol.SyncUpdate))
	early.silence() // nothing overtakes what it may lack
	release()
	for _, w := range []*wire{early, late} {
		doc := ydoc.New(ydoc.Config{})
		for _, want := range [][]byte{whole, typed(2, 0, "!")} {
			got := w.frame(protocol.SyncUpdate)
			require.Equal(t, want, got)
			_, err := doc.Apply(got)
			require.NoError(t, err)
		}
		holds(t, doc, 1, 4)
		holds(t, doc, 2, 1)
	}
}

// Rows that another server wrote are stored already: nobody waits for a commit of ours.
func TestCommittedDurabilityShowsWhatAnotherServerStored(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store), withDocument(yserver.Document{Durability: yserver.DurabilityCommitted}))
	a, _ := k.join("/parties/main/r")
	b, _ := k.join("/parties/main/r")
	key := persist.Key{Party: "main", Room: "r"}
	_, err := store.Store.Append(t.Context(), []persist.Append{{Key: key, Updates: [][]byte{typed(2, 0, "there")}}})
	require.NoError(t, err)
	a.update(typed(1, 0, "here"))
	for _, w := range []*wire{a, b} {
		doc := ydoc.New(ydoc.Config{})
		for len(clocks(t, doc)) < 2 {
			_, err := doc.Apply(w.frame(protocol.SyncUpdate))
			require.NoError(t, err)
		}
	}
}

func TestStep2AndStep1WaitForTheAppendInFlight(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store))
	a, _ := k.join("/parties/main/r")
	release := store.hold()
	defer release()
	a.update(typed(1, 0, "hi"))
	k.accepted()
	a.step1([]byte{0})
	b := k.dial("/parties/main/r")
	b.step1([]byte{0})
	b.silence()
	a.silence()
	release()
	b.expect("00 00 03 01 01 02")
	b.expect("00 01 0c" + helloUpdate)
	require.Contains(t, []protocol.SyncType{protocol.SyncStep2, protocol.SyncUpdate}, kindOf(t, a.next()))
	require.Contains(t, []protocol.SyncType{protocol.SyncStep2, protocol.SyncUpdate}, kindOf(t, a.next()))
}

func kindOf(t *testing.T, frame []byte) protocol.SyncType {
	t.Helper()
	msg, err := protocol.Parse(frame)
	require.NoError(t, err)
	require.Equal(t, protocol.MessageSync, msg.Type)
	return msg.Sync
}

func TestSyncStatusComesBackAfterTheCommit(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store))
	a, _ := k.join("/parties/main/r")
	a.send([]byte{102, 7})
	a.expect("66 07") // nothing waits
	release := store.hold()
	defer release()
	a.update(typed(1, 0, "hi"))
	a.send([]byte{102, 8, 9})
	a.silence()
	release()
	a.expect("00 02 0c" + helloUpdate)
	a.expect("66 08 09")
}

func TestAKnownUncommittedUpdateIsAcknowledgedWithItsCommit(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store))
	a, _ := k.join("/parties/main/r")
	b, _ := k.join("/parties/main/r")
	release := store.hold()
	defer release()
	a.update(typed(1, 0, "hi"))
	b.expect("00 02 0c" + helloUpdate)
	b.update(typed(1, 0, "hi"))
	b.send([]byte{102, 1})
	b.silence()
	release()
	b.expect("66 01")
}

func TestDuplicatesAreNotSentAgain(t *testing.T) {
	k := start(t)
	a, _ := k.join("/parties/main/r")
	b, _ := k.join("/parties/main/r")
	a.update(typed(1, 0, "hi"))
	b.frame(protocol.SyncUpdate)
	a.frame(protocol.SyncUpdate)
	a.update(typed(1, 0, "hi"))
	a.send([]byte{102})
	a.expect("66")
	b.silence()
}

func TestAnEarlyUpdateIsParkedThenSentToEverybody(t *testing.T) {
	k := start(t)
	a, _ := k.join("/parties/main/r")
	b, _ := k.join("/parties/main/r")
	a.update(typed(1, 2, "!!"))
	require.Equal(t, []byte{0}, a.frame(protocol.SyncStep1), "the sender is asked for what is missing")
	b.silence()
	b.update(typed(1, 0, "hi"))
	for _, w := range []*wire{a, b} {
		doc := w.collect(4)
		holds(t, doc, 1, 4)
	}
	holds(t, k.stored("r"), 1, 4)
}

func TestPresenceIsOwnedByTheLastWriterAndRemovedOnClose(t *testing.T) {
	k := start(t)
	a, _ := k.join("/parties/main/r")
	b, _ := k.join("/parties/main/r")
	a.presence(7, 3, `{"x":1}`)
	a.expect("01 0b 01 07 03 07 7b2278223a317d")
	b.expect("01 0b 01 07 03 07 7b2278223a317d")
	require.NoError(t, a.conn.Close()) // unclean
	b.expect("01 08 01 07 03 04 6e756c6c")
	// The same id comes back and drops again: no ghost.
	c, _ := k.join("/parties/main/r")
	c.presence(7, 4, `{"x":2}`)
	b.expect("01 0b 01 07 04 07 7b2278223a327d")
	require.NoError(t, c.conn.Close())
	b.expect("01 08 01 07 04 04 6e756c6c")
	// A newcomer sees nobody.
	d := k.dial("/parties/main/r")
	d.expect("00 00 01 00")
	d.silence()
}

func TestPresenceIsMergedToTheNewest(t *testing.T) {
	k := start(t, withDocument(yserver.Document{AwarenessInterval: 200 * time.Millisecond}))
	a, _ := k.join("/parties/main/r")
	b, _ := k.join("/parties/main/r")
	for clock := uint64(1); clock <= 20; clock++ {
		a.presence(7, clock, "1")
	}
	a.send([]byte{102})
	frames := 0
	for last := uint64(0); last != 20; frames++ {
		msg, err := protocol.Parse(b.next())
		require.NoError(t, err)
		entries, err := protocol.ParseAwareness(nil, msg.Payload, protocol.AwarenessLimits{})
		require.NoError(t, err)
		last = entries[0].Clock
	}
	require.LessOrEqual(t, frames, 3, "frames for 20 states")
}

func TestGarbageIsCountedAndHarmsNobody(t *testing.T) {
	k := start(t)
	a, _ := k.join("/parties/main/r")
	b, _ := k.join("/parties/main/r")
	for _, frame := range []string{"", "\x00", "\x00\x02", "\x00\x02\x05\x01", "\x00\x02\x02\xff\xff", "\x01\x04\x01\x01", "\x00\x09\x00", "\x63garbage", "\x03", "\x80"} {
		a.send([]byte(frame))
	}
	a.sendText("hello?")
	a.update(typed(1, 0, "hi"))
	b.expect("00 02 0c" + helloUpdate)
	a.expect("00 02 0c" + helloUpdate)
	require.Positive(t, k.Srv.Stats().BadFrames)
}

func TestReadOnlyReadsAndIsToldOnce(t *testing.T) {
	readOnly := func(c *yserver.Connection) bool { return c.ID() == "viewer" }
	k := start(t, withDocument(yserver.Document{IsReadOnly: readOnly}))
	a, _ := k.join("/parties/main/r")
	v, _ := k.join("/parties/main/r?_pk=viewer")
	v.send(protocol.AppendSyncStep2(nil, []byte{0, 0})) // no attempt to write
	v.update(typed(2, 0, "no"))
	v.expect("02 00 09 726561642d6f6e6c79")
	v.update(typed(2, 2, "no"))
	a.update(typed(1, 0, "hi"))
	v.expect("00 02 0c" + helloUpdate)
	v.presence(9, 1, "1")
	v.expect("01 05 01 09 01 01 31")
	v.step1([]byte{0})
	v.expect("00 01 0c" + helloUpdate)
	require.EqualValues(t, 3, k.Srv.Stats().RefusedWrites)
}

func TestALimitIsToldAndMakesReadOnly(t *testing.T) {
	k := start(t, func(_ *yserver.Config, p *yserver.Party) { p.Limits.Pending = 200 })
	a, _ := k.join("/parties/main/r")
	a.update(typed(1, 10, string(make([]byte, 400))))
	msg, err := protocol.Parse(a.next())
	require.NoError(t, err)
	require.Equal(t, protocol.MessageAuth, msg.Type)
	a.update(typed(1, 0, "hi"))
	a.silence()
	require.EqualValues(t, 1, k.Srv.Stats().OverLimit)
}

func TestOneLoadForAThousandClients(t *testing.T) {
	store := newGatedStore()
	store.loadIn = make(chan struct{})
	k := start(t, withStore(store))
	const n = 100
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			w, _, err := k.tryDial("/parties/main/r")
			if err == nil {
				w.expect("00 00 01 00")
			}
			require.NoError(t, err)
		})
	}
	eventually(t, "a load", func() bool { return store.loads.Load() > 0 })
	close(store.loadIn)
	wg.Wait()
	require.EqualValues(t, 1, store.loads.Load())
	require.Equal(t, 1, k.Srv.Stats().Rooms)
}

// brokenStore cannot load.
type brokenStore struct{ yserver.Store }

func (brokenStore) Load(context.Context, persist.Key) (persist.Document, error) {
	return persist.Document{}, errors.New("disk on fire")
}

func TestADocumentThatCannotBeLoadedIsRefused(t *testing.T) {
	k := start(t, withStore(brokenStore{persisttest.NewMemory()}))
	_, resp, err := k.tryDial("/parties/main/r")
	require.Error(t, err)
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Equal(t, "1", resp.Header.Get("Retry-After"))
	k.dial("/yjs/r").expectClose(1013)
	require.Zero(t, k.Srv.Stats().Rooms)
}

func TestARestartKeepsTheDocument(t *testing.T) {
	store := persisttest.NewMemory()
	first := start(t, withStore(store))
	a, _ := first.join("/parties/main/r")
	a.update(typed(1, 0, "hi"))
	a.frame(protocol.SyncUpdate)
	first.Stop()
	a.expectClose(1012)
	second := start(t, withStore(store))
	_, doc := second.join("/parties/main/r")
	holds(t, doc, 1, 2)
}

func TestTheLogIsFoldedIntoASnapshot(t *testing.T) {
	k := start(t, withDocument(yserver.Document{SnapshotUpdates: 5}))
	a, _ := k.join("/parties/main/r")
	for clock := range uint64(40) {
		a.update(typed(1, clock, "x"))
		a.frame(protocol.SyncUpdate)
	}
	eventually(t, "a snapshot", func() bool { return k.Srv.Stats().Folds > 0 })
	require.Zero(t, k.Srv.Stats().FoldFailures)
	d, err := k.Store.Load(t.Context(), persist.Key{Party: "main", Room: "r"})
	require.NoError(t, err)
	require.NotNil(t, d.Snapshot.Data)
	require.Less(t, len(d.Tail), 40)
	holds(t, k.stored("r"), 1, 40)
	a.update(typed(1, 40, "x"))
	a.frame(protocol.SyncUpdate)
	_, doc := k.join("/parties/main/r")
	holds(t, doc, 1, 41)
}

func TestAnEmptyRoomLeavesMemoryAndComesBack(t *testing.T) {
	k := start(t, func(_ *yserver.Config, p *yserver.Party) { p.UnloadAfter = 10 * time.Millisecond })
	a, _ := k.join("/parties/main/r")
	a.update(typed(1, 0, "hi"))
	a.frame(protocol.SyncUpdate)
	require.NoError(t, a.conn.Close())
	eventually(t, "unload", func() bool { return k.Srv.Stats().Rooms == 0 })
	eventually(t, "no document", func() bool { return k.Srv.Stats().DocumentBytes == 0 })
	_, doc := k.join("/parties/main/r")
	holds(t, doc, 1, 2)
}

func TestAFailingStoreLosesNothingAndAcknowledgesNothing(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store))
	a, _ := k.join("/parties/main/r")
	b, _ := k.join("/parties/main/r")
	store.setFail(errors.New("no space left"))
	a.update(typed(1, 0, "hi"))
	b.expect("00 02 0c" + helloUpdate)
	a.silence()
	eventually(t, "not ready", func() bool { return k.Srv.Ready() != nil })
	require.Positive(t, k.Srv.Stats().PendingBytes)
	store.setFail(nil)
	a.expect("00 02 0c" + helloUpdate)
	require.NoError(t, k.Srv.Ready())
	require.Zero(t, k.Srv.Stats().PendingBytes)
	holds(t, k.stored("r"), 1, 2)
}

// lossyStore commits and then says that it does not know.
type lossyStore struct {
	yserver.Store
	lose atomic.Int64
}

func (s *lossyStore) Append(ctx context.Context, a []persist.Append) ([]persist.Result, error) {
	res, err := s.Store.Append(ctx, a)
	if s.lose.Add(-1) >= 0 {
		return nil, errors.New("connection lost during commit")
	}
	return res, err
}

func TestACommitWhoseAnswerWasLostIsFoundAgain(t *testing.T) {
	store := &lossyStore{Store: persisttest.NewMemory()}
	store.lose.Store(1)
	k := start(t, withStore(store))
	a, _ := k.join("/parties/main/r")
	a.update(typed(1, 0, "hi"))
	a.expect("00 02 0c" + helloUpdate)
	d, err := store.Load(t.Context(), persist.Key{Party: "main", Room: "r"})
	require.NoError(t, err)
	require.Len(t, d.Tail, 1, "the row is there once")
}

func TestTwoServersOnOneStoreConverge(t *testing.T) {
	store := persisttest.NewMemory()
	one, two := start(t, withStore(store)), start(t, withStore(store))
	a, _ := one.join("/parties/main/r")
	b, _ := two.join("/parties/main/r")
	a.update(typed(1, 0, "hi"))
	a.frame(protocol.SyncUpdate)
	b.update(typed(2, 0, "yo")) // conflicts: the log has moved on
	doc := b.collect(4)
	holds(t, doc, 1, 2)
	holds(t, doc, 2, 2)
	holds(t, two.stored("r"), 1, 2)
	holds(t, two.stored("r"), 2, 2)
}

func TestAServerThatFellBehindASnapshotCatchesUp(t *testing.T) {
	store := persisttest.NewMemory()
	fold := withDocument(yserver.Document{SnapshotUpdates: 2})
	one, two := start(t, withStore(store), fold), start(t, withStore(store), fold)
	b, _ := two.join("/parties/main/r")
	a, _ := one.join("/parties/main/r")
	for clock := range uint64(6) {
		a.update(typed(1, clock, "x"))
		a.frame(protocol.SyncUpdate)
	}
	eventually(t, "a snapshot", func() bool { return one.Srv.Stats().Folds > 0 })
	b.update(typed(2, 0, "yo"))
	doc := b.collect(8)
	holds(t, doc, 1, 6)
	holds(t, doc, 2, 2)
	eventually(t, "stored", func() bool { return two.Srv.Stats().PendingBytes == 0 })
	holds(t, two.stored("r"), 2, 2)
}

// undecodable has a row that is no update, and takes note of what is quarantined.
type undecodable struct {
	yserver.Store
	quarantined chan persist.Key
}

func (undecodable) Load(context.Context, persist.Key) (persist.Document, error) {
	return persist.Document{Exists: true, Seq: 1, Tail: []persist.Update{{Seq: 1, Data: []byte{9, 9}}}}, nil
}

func (s undecodable) Quarantine(_ context.Context, key persist.Key, _ string) error {
	s.quarantined <- key
	return nil
}

func TestALogThatDoesNotDecodeIsQuarantined(t *testing.T) {
	store := undecodable{persisttest.NewMemory(), make(chan persist.Key, 1)}
	k := start(t, withStore(store))
	_, resp, err := k.tryDial("/parties/main/r")
	require.Error(t, err)
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Equal(t, persist.Key{Party: "main", Room: "r"}, receive(t, store.quarantined))
}

func TestShutdownStoresAcknowledgesThenCloses(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store))
	a, _ := k.join("/parties/main/r")
	release := store.hold()
	a.update(typed(1, 0, "hi"))
	k.accepted()
	a.silence()
	done := make(chan error, 1)
	go func() { done <- k.Srv.Shutdown(t.Context()) }()
	a.silence()
	release()
	a.expect("00 02 0c" + helloUpdate)
	a.expectClose(1012)
	require.NoError(t, <-done)
	holds(t, k.stored("r"), 1, 2)
	resp, err := http.Get(k.http.URL + "/parties/main/r")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
}

func TestShutdownSaysWhatWasNotSaved(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store))
	a, _ := k.join("/parties/main/r")
	store.setFail(errors.New("store is gone"))
	a.update(typed(1, 0, "hi"))
	eventually(t, "failing", func() bool { return k.Srv.Ready() != nil })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var unsaved *yserver.UnsavedError
	require.ErrorAs(t, k.Srv.Shutdown(ctx), &unsaved)
	require.EqualValues(t, 12, unsaved.Bytes)
}

func TestPeersAreLimited(t *testing.T) {
	k := start(t, func(_ *yserver.Config, p *yserver.Party) { p.Limits.Peers = 1 })
	k.join("/parties/main/r")
	k.dial("/parties/main/r").expectClose(1013)
}

func TestWhileTheStoreFailsOnlyThoseThatClaimNothingUncommittedAreAnswered(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store))
	a, _ := k.join("/parties/main/r")
	store.setFail(errors.New("store is away"))
	a.update(typed(1, 0, "hi"))
	eventually(t, "failing", func() bool { return k.Srv.Ready() != nil })
	fresh, stale := k.dial("/parties/main/r"), k.dial("/parties/main/r")
	fresh.step1([]byte{0})
	stale.step1([]byte{1, 1, 2}) // has what only this process knows
	fresh.expect("00 00 03 01 01 02")
	fresh.expect("00 01 0c" + helloUpdate)
	stale.silence()
	a.silence()
	store.setFail(nil)
	stale.expect("00 00 03 01 01 02")
	stale.expect("00 01 02 00 00")
	a.expect("00 02 0c" + helloUpdate)
}

func TestPresenceTimesOutOnlyWhereClientsRenewIt(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the 30 s of y-websocket's timeout")
	}
	t.Parallel()
	k := start(t)
	y, _ := k.join("/yjs/r")
	provider, _ := k.join("/parties/main/r?_pk=p")
	y.presence(1, 1, "1")
	y.expect("01 05 01 01 01 01 31")
	provider.expect("01 05 01 01 01 01 31")
	provider.presence(2, 1, "2")
	y.expect("01 05 01 02 01 01 32")
	provider.expect("01 05 01 02 01 01 32")
	limit := time.After(2 * patience)
	for {
		select {
		case f := <-provider.in:
			if bytes.Equal(f, []byte{1, 1, 0}) {
				continue // keeps the connection alive
			}
			require.Equal(t, "01080101"+"01046e756c6c", hex.EncodeToString(f), "the y-websocket client's presence goes first")
			return
		case <-limit:
			t.Fatal("the presence of a client that does not renew it stays")
		}
	}
}

func TestForgedPartykitHeadersAreStripped(t *testing.T) {
	seen := make(chan http.Header, 1)
	k := start(t, func(_ *yserver.Config, p *yserver.Party) {
		p.Access = func(_ context.Context, r *gate.Request) (gate.Decision, error) {
			seen <- r.HTTP.Header.Clone()
			return gate.Decision{Write: true}, nil
		}
	})
	r, err := http.NewRequest(http.MethodGet, k.http.URL+"/parties/main/r", nil)
	require.NoError(t, err)
	r.Header.Set("x-partykit-props", "e30=")
	r.Header.Set("X-PartyKit-Room", "other")
	r.Header.Set("X-Mine", "yes")
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	got := receive(t, seen)
	require.Empty(t, got.Values("X-Partykit-Props"))
	require.Empty(t, got.Values("X-Partykit-Room"))
	require.Equal(t, "yes", got.Get("X-Mine"))
}

func TestAPanicEndsItsRoomOnly(t *testing.T) {
	k := start(t)
	a, _ := k.join("/parties/main/r")
	b, _ := k.join("/parties/main/other")
	a.update(typed(1, 0, "hi"))
	a.frame(protocol.SyncUpdate)
	yserver.PanicIn(t, k.Srv, "main", "r")
	a.expectClose(1011)
	b.update(typed(1, 0, "hi"))
	b.expect("00 02 0c" + helloUpdate)
	_, doc := k.join("/parties/main/r")
	holds(t, doc, 1, 2)
	st := k.Srv.Stats()
	require.EqualValues(t, 1, st.RoomPanics)
	require.Zero(t, st.PendingBytes)
}

func TestARoomThatCannotStoreStopsReading(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store), func(_ *yserver.Config, p *yserver.Party) { p.Limits.Uncommitted = 10_000 })
	a, _ := k.join("/parties/main/r")
	b, _ := k.join("/parties/main/r")
	release := store.hold()
	defer release()
	const each, n = 1000, 40
	text := string(bytes.Repeat([]byte("x"), each))
	for i := range uint64(n) {
		a.update(typed(1, i*each, text))
	}
	eventually(t, "the bound", func() bool { return k.Srv.Stats().PendingBytes > 7000 })
	time.Sleep(quiet)
	require.Less(t, k.Srv.Stats().PendingBytes, int64(11_000), "the rest waits in the socket")
	release()
	holds(t, b.collect(n*each), 1, n*each)
	a.send([]byte{102})
	for !bytes.Equal(a.next(), []byte{102}) {
	}
	holds(t, k.stored("r"), 1, n*each)
}

// What a room accepts without a store is counted as what it takes in memory,
// which for single characters is much more than their bytes.
func TestARoomThatCannotStoreCountsWhatSmallUpdatesTake(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store), func(_ *yserver.Config, p *yserver.Party) { p.Limits.Uncommitted = 10_000 })
	a, _ := k.join("/parties/main/r")
	b, _ := k.join("/parties/main/r")
	release := store.hold()
	defer release()
	const n = 400
	for i := range uint64(n) {
		a.update(typed(1, i, "x"))
	}
	eventually(t, "the bound", func() bool { return k.Srv.Stats().PendingBytes > 300 })
	time.Sleep(quiet)
	require.Less(t, k.Srv.Stats().PendingBytes, int64(1000), "the rest waits in the socket")
	release()
	holds(t, b.collect(n), 1, n)
	a.send([]byte{102})
	for !bytes.Equal(a.next(), []byte{102}) {
	}
	holds(t, k.stored("r"), 1, n)
}

// All rooms together are bounded too. One that has nothing waiting may accept one
// message more.
func TestRoomsThatCannotStoreStopReadingTogether(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store), func(c *yserver.Config, _ *yserver.Party) { c.Limits.Uncommitted = 20_000 })
	const rooms, each, n = 5, 1000, 40
	var peers []*wire
	for i := range rooms {
		p, _ := k.join("/parties/main/r" + strconv.Itoa(i))
		peers = append(peers, p)
	}
	release := store.hold()
	defer release()
	text := string(bytes.Repeat([]byte("x"), each))
	for i := range uint64(n) {
		for _, p := range peers {
			p.update(typed(1, i*each, text))
		}
	}
	eventually(t, "the bound", func() bool { return k.Srv.Stats().PendingBytes > 14_000 })
	time.Sleep(quiet)
	require.Less(t, k.Srv.Stats().PendingBytes, int64(21_000+rooms*each), "the rest waits in the sockets")
	release()
	for i, p := range peers {
		p.send([]byte{102})
		for !bytes.Equal(p.next(), []byte{102}) {
		}
		holds(t, k.stored("r"+strconv.Itoa(i)), 1, n*each)
	}
	require.Zero(t, k.Srv.Stats().PendingBytes)
}

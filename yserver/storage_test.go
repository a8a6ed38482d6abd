package yserver_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/yserver"
)

func items(keys ...string) []yserver.Item {
	var all []yserver.Item
	for _, key := range keys {
		all = append(all, yserver.Item{Key: key, Value: []byte("value of " + key)})
	}
	return all
}

func fill(t testing.TB, s *yserver.Storage, keys ...string) {
	t.Helper()
	for _, it := range items(keys...) {
		require.NoError(t, s.Put(t.Context(), it.Key, it.Value))
	}
}

func TestStorageGetPutDelete(t *testing.T) {
	k := start(t)
	s, ctx := k.roomOf("r").Storage(), t.Context()
	v, err := s.Get(ctx, "a")
	require.NoError(t, err)
	require.Nil(t, v)
	value := []byte("one")
	require.NoError(t, s.Put(ctx, "a", value))
	value[0] = 'X' // it was copied
	require.NoError(t, s.Put(ctx, "", nil))
	require.NoError(t, s.Put(ctx, "b\x00\xff", []byte{0}))
	v, err = s.Get(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, "one", string(v))
	all, err := s.GetAll(ctx, "a", "", "nothing", "b\x00\xff")
	require.NoError(t, err)
	require.Equal(t, map[string][]byte{"a": []byte("one"), "": {}, "b\x00\xff": {0}}, all)

	other, err := k.roomOf("other").Storage().Get(ctx, "a")
	require.NoError(t, err)
	require.Nil(t, other)

	require.NoError(t, s.Delete(ctx, "a", "nothing"))
	require.NoError(t, s.Delete(ctx))
	v, err = s.Get(ctx, "a")
	require.NoError(t, err)
	require.Nil(t, v)
	at := time.Now().Add(time.Hour)
	require.NoError(t, k.roomOf("r").SetAlarm(ctx, at))
	require.NoError(t, s.DeleteAll(ctx))
	list, err := s.List(ctx, yserver.ListOptions{})
	require.NoError(t, err)
	require.Empty(t, list)
	kept, err := k.roomOf("r").Alarm(ctx)
	require.NoError(t, err)
	require.Equal(t, at.UnixMilli(), kept.UnixMilli(), "the alarm stays")
}

func TestStorageList(t *testing.T) {
	k := start(t)
	s, ctx := k.roomOf("r").Storage(), t.Context()
	fill(t, s, "a", "b", "b1", "b2", "b3", "c", "\xff", "\xff\xff")
	for name, test := range map[string]struct {
		o    yserver.ListOptions
		want []yserver.Item
	}{
		"everything":             {yserver.ListOptions{}, items("a", "b", "b1", "b2", "b3", "c", "\xff", "\xff\xff")},
		"backwards":              {yserver.ListOptions{Reverse: true}, items("\xff\xff", "\xff", "c", "b3", "b2", "b1", "b", "a")},
		"prefix":                 {yserver.ListOptions{Prefix: "b"}, items("b", "b1", "b2", "b3")},
		"prefix without end":     {yserver.ListOptions{Prefix: "\xff"}, items("\xff", "\xff\xff")},
		"from":                   {yserver.ListOptions{Start: "b2"}, items("b2", "b3", "c", "\xff", "\xff\xff")},
		"before":                 {yserver.ListOptions{End: "b2"}, items("a", "b", "b1")},
		"between":                {yserver.ListOptions{Start: "b1", End: "b3"}, items("b1", "b2")},
		"prefix and bounds":      {yserver.ListOptions{Prefix: "b", Start: "a", End: "b2"}, items("b", "b1")},
		"bounds behind prefix":   {yserver.ListOptions{Prefix: "b", Start: "c"}, nil},
		"bounds before prefix":   {yserver.ListOptions{Prefix: "b", End: "a"}, nil},
		"the wrong way round":    {yserver.ListOptions{Start: "c", End: "a"}, nil},
		"limit":                  {yserver.ListOptions{Limit: 2}, items("a", "b")},
		"the last":               {yserver.ListOptions{Limit: 2, Prefix: "b", Reverse: true}, items("b3", "b2")},
		"a limit that is larger": {yserver.ListOptions{Limit: 5000, Prefix: "c"}, items("c")},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.List(ctx, test.o)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
			require.NoError(t, s.Transaction(ctx, func(tx *yserver.Tx) error {
				got, err := tx.List(ctx, test.o)
				require.NoError(t, err)
				require.Equal(t, len(test.want), len(got))
				return nil
			}))
		})
	}
}

// A list is more than a page of the store.
func TestStorageListOverPages(t *testing.T) {
	k := start(t, func(_ *yserver.Config, p *yserver.Party) { p.Limits.Storage = 1 << 30 })
	s, ctx := k.roomOf("r").Storage(), t.Context()
	large := make([]byte, persist.MaxRoomPageBytes/3)
	require.NoError(t, s.Transaction(ctx, func(tx *yserver.Tx) error {
		for n := range 8 {
			if err := tx.Put(ctx, strconv.Itoa(n), large); err != nil {
				return err
			}
		}
		return nil
	}))
	for _, reverse := range []bool{false, true} {
		got, err := s.List(ctx, yserver.ListOptions{Limit: 7, Reverse: reverse})
		require.NoError(t, err)
		require.Len(t, got, 7)
		for i, it := range got {
			want := strconv.Itoa(i)
			if reverse {
				want = strconv.Itoa(7 - i)
			}
			require.Equal(t, want, it.Key)
		}
	}
}

func TestTransactionSeesWhatItWrote(t *testing.T) {
	k := start(t)
	s, ctx := k.roomOf("r").Storage(), t.Context()
	fill(t, s, "a", "b", "c", "d")
	list := func(tx *yserver.Tx, o yserver.ListOptions) string {
		got, err := tx.List(ctx, o)
		require.NoError(t, err)
		var keys strings.Builder
		for _, it := range got {
			keys.WriteString(it.Key)
		}
		return keys.String()
	}
	require.NoError(t, s.Transaction(ctx, func(tx *yserver.Tx) error {
		require.NoError(t, tx.Put(ctx, "bb", []byte("new")))
		require.NoError(t, tx.Put(ctx, "a", []byte("over")))
		require.NoError(t, tx.Delete(ctx, "c", "nothing"))
		v, err := tx.Get(ctx, "a")
		require.NoError(t, err)
		require.Equal(t, "over", string(v))
		v[0] = 'X'
		v, err = tx.Get(ctx, "c")
		require.NoError(t, err)
		require.Nil(t, v)
		require.Equal(t, "abbbd", list(tx, yserver.ListOptions{}))
		require.Equal(t, "dbbb", list(tx, yserver.ListOptions{Reverse: true, Limit: 3}))
		require.Equal(t, "ab", list(tx, yserver.ListOptions{Limit: 2}))
		require.Equal(t, "bbb", list(tx, yserver.ListOptions{Prefix: "b"}))
		outside, err := s.Get(ctx, "bb") // nobody else sees it
		require.NoError(t, err)
		require.Nil(t, outside)
		return nil
	}))
	got, err := s.List(ctx, yserver.ListOptions{})
	require.NoError(t, err)
	require.Equal(t, []yserver.Item{{Key: "a", Value: []byte("over")}, items("b")[0], {Key: "bb", Value: []byte("new")}, items("d")[0]}, got)
}

func TestTransactionThatFailsStoresNothing(t *testing.T) {
	store, faulty := withFaults(nil)
	k := start(t, faulty)
	s, ctx := k.roomOf("r").Storage(), t.Context()
	fill(t, s, "a")
	writes := store.Calls(persisttest.OpChangeRooms)
	no := errors.New("no")
	var escaped *yserver.Tx
	change := func(tx *yserver.Tx) {
		escaped = tx
		require.NoError(t, tx.Put(ctx, "b", nil))
		require.NoError(t, tx.Delete(ctx, "a"))
	}
	require.ErrorIs(t, s.Transaction(ctx, func(tx *yserver.Tx) error { change(tx); return no }), no)
	require.Panics(t, func() {
		_ = s.Transaction(ctx, func(tx *yserver.Tx) error { change(tx); panic("no") })
	})
	require.Error(t, escaped.Put(ctx, "c", nil))
	require.Error(t, escaped.Delete(ctx, "c"))
	_, err := escaped.Get(ctx, "c")
	require.Error(t, err)
	_, err = escaped.List(ctx, yserver.ListOptions{})
	require.Error(t, err)
	require.NoError(t, s.Transaction(ctx, func(*yserver.Tx) error { return nil }), "and nothing holds the next one up")
	require.Equal(t, writes, store.Calls(persisttest.OpChangeRooms))
	got, err := s.List(ctx, yserver.ListOptions{})
	require.NoError(t, err)
	require.Equal(t, items("a"), got)
}

// Transactions of one room come one after the other, however many start at once.
func TestTransactionsOfARoomAreSerial(t *testing.T) {
	k := start(t)
	s, ctx := k.roomOf("r").Storage(), t.Context()
	const workers, rounds = 20, 10
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				err := s.Transaction(ctx, func(tx *yserver.Tx) error {
					n, _, err := yserver.GetJSON[int](ctx, tx, "n")
					if err != nil {
						return err
					}
					return yserver.PutJSON(ctx, tx, "n", n+1)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	n, found, err := yserver.GetJSON[int](ctx, s, "n")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, workers*rounds, n)
	require.Zero(t, yserver.HeldLocks(k.Srv))
}

func TestATransactionThatBlocksHoldsUpItsRoomOnly(t *testing.T) {
	k := start(t)
	s, ctx := k.roomOf("r").Storage(), t.Context()
	block, begun, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.Transaction(ctx, func(tx *yserver.Tx) error {
			close(begun)
			<-block
			return tx.Put(ctx, "a", []byte("first"))
		})
	}()
	receive(t, begun)
	fill(t, k.roomOf("other").Storage(), "a")
	require.NoError(t, k.roomOf("r").SetAlarm(ctx, time.Now().Add(time.Hour)), "alarms do not wait")
	_, err := s.Get(ctx, "a")
	require.NoError(t, err, "reading does not wait")
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Put(short, "a", []byte("second")), context.DeadlineExceeded)
	close(block)
	require.NoError(t, receive(t, ended))
	v, err := s.Get(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, "first", string(v))
	require.Zero(t, yserver.HeldLocks(k.Srv))
}

// A transaction whose function does not return ends with its context. It writes
// nothing any more, and holds nobody up.
func TestATransactionThatHangsEndsWithItsContext(t *testing.T) {
	k := start(t)
	s, ctx := k.roomOf("r").Storage(), t.Context()
	hang, ended := make(chan struct{}), make(chan error, 1)
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	late := make(chan error, 1)
	go func() {
		ended <- s.Transaction(short, func(tx *yserver.Tx) error {
			err := tx.Put(ctx, "a", []byte("never"))
			<-hang
			late <- tx.Put(ctx, "b", []byte("never"))
			return err
		})
	}()
	<-short.Done()
	fill(t, s, "c")
	close(hang)
	require.Error(t, receive(t, late))
	require.ErrorIs(t, receive(t, ended), context.DeadlineExceeded)
	got, err := s.List(ctx, yserver.ListOptions{})
	require.NoError(t, err)
	require.Equal(t, items("c"), got)
	require.Zero(t, yserver.HeldLocks(k.Srv))
}

// A write whose caller has given up may still come true. Until that is known, no
// other transaction reads what is there.
func TestATransactionWaitsForOneThatWasGivenUp(t *testing.T) {
	store, faulty := withFaults(nil)
	k := start(t, faulty)
	s, ctx := k.roomOf("r").Storage(), t.Context()
	block := blocks(store, persisttest.OpChangeRooms)
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Put(short, "a", []byte("one")), context.DeadlineExceeded)
	saw := make(chan string, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Transaction(ctx, func(tx *yserver.Tx) error {
			v, err := tx.Get(ctx, "a")
			saw <- string(v)
			return err
		})
	}()
	select {
	case v := <-saw:
		t.Fatalf("the next one began, and saw %q", v)
	case <-time.After(quiet):
	}
	block.lift()
	require.Equal(t, "one", receive(t, saw))
	require.NoError(t, receive(t, ended))
}

func TestStorageLimits(t *testing.T) {
	const limit = 1000
	k := start(t, func(_ *yserver.Config, p *yserver.Party) { p.Limits.Storage = limit })
	s, ctx := k.roomOf("r").Storage(), t.Context()
	longest := strings.Repeat("k", persist.MaxRoomKeyBytes)
	require.ErrorIs(t, s.Put(ctx, longest+"k", nil), persist.ErrInvalid)
	require.ErrorIs(t, s.Delete(ctx, longest+"k"), persist.ErrInvalid)
	_, err := s.Get(ctx, longest+"k")
	require.ErrorIs(t, err, persist.ErrInvalid)
	require.ErrorIs(t, s.Put(ctx, "k", make([]byte, persist.MaxRoomValueBytes+1)), persist.ErrInvalid)

	require.NoError(t, s.Put(ctx, "a", make([]byte, 599)))
	require.ErrorIs(t, s.Put(ctx, "b", make([]byte, 400)), yserver.ErrStorageFull)
	require.NoError(t, s.Put(ctx, "b", make([]byte, 399)))
	for range 3 { // what is replaced makes room
		require.NoError(t, s.Put(ctx, "a", make([]byte, 599)))
		yserver.ForgetSizes(k.Srv)
	}
	require.ErrorIs(t, s.Put(ctx, "a", make([]byte, 600)), yserver.ErrStorageFull)
	require.NoError(t, s.Transaction(ctx, func(tx *yserver.Tx) error { // so does what is deleted
		return errors.Join(tx.Delete(ctx, "b"), tx.Put(ctx, "c", make([]byte, 399)))
	}))
	require.ErrorIs(t, s.Put(ctx, "d", nil), yserver.ErrStorageFull)
	require.NoError(t, s.Delete(ctx, "c"))
	require.NoError(t, s.Put(ctx, "d", make([]byte, 399)))
	require.NoError(t, s.DeleteAll(ctx))
	require.NoError(t, s.Put(ctx, "e", make([]byte, limit-1)))
	require.ErrorIs(t, s.Put(ctx, "f", nil), yserver.ErrStorageFull)
	require.NoError(t, k.roomOf("other").Storage().Put(ctx, "e", make([]byte, limit-1)), "each room has its own")
}

// Measuring the storage of a room takes time in proportion to it: it is not done
// for every write.
func TestStorageIsSeldomMeasured(t *testing.T) {
	store, faulty := withFaults(nil)
	k := start(t, faulty)
	for range 20 {
		fill(t, k.roomOf("r").Storage(), "a", "b")
	}
	require.Equal(t, 1, store.Calls(persisttest.OpRoomSize))
}

func TestStorageOfAStoreThatFails(t *testing.T) {
	store, faulty := withFaults(nil)
	k := start(t, faulty)
	s, ctx := k.roomOf("r").Storage(), t.Context()
	fill(t, s, "a")
	for _, op := range []persisttest.Op{persisttest.OpGetRoom, persisttest.OpListRoom, persisttest.OpChangeRooms} {
		store.SetPlan(onOp(op, persisttest.Fault{Err: persisttest.ErrInjected}))
		_, getErr := s.Get(ctx, "a")
		_, listErr := s.List(ctx, yserver.ListOptions{})
		putErr := s.Put(ctx, "b", nil)
		for name, c := range map[persisttest.Op]error{persisttest.OpGetRoom: getErr, persisttest.OpListRoom: listErr, persisttest.OpChangeRooms: putErr} {
			if name == op {
				require.ErrorIs(t, c, persisttest.ErrInjected)
			} else {
				require.NoError(t, c)
			}
		}
	}
	store.SetPlan(nil)
	require.NoError(t, s.Put(ctx, "c", nil))
}

// What can never be stored fails by itself, not with what others write at the
// same moment.
func TestAWriteThatIsInvalidFailsAlone(t *testing.T) {
	store := persisttest.NewMemory()
	faulty := persisttest.NewFaulty(store, nil)
	k := start(t, withStore(faulty))
	ctx := t.Context()
	require.NoError(t, store.QuarantineRoom(ctx, key("bad"), "made by a test"))
	block := blocks(faulty, persisttest.OpChangeRooms)
	errs := make([]chan error, 9)
	put := func(n int, room string) {
		errs[n] = make(chan error, 1)
		go func() {
			errs[n] <- k.roomOf(room).Storage().Transaction(ctx, func(tx *yserver.Tx) error { return tx.Delete(ctx, "x") })
		}()
	}
	put(0, "first")
	count(t, "blocked", 1, func() int64 { return int64(faulty.Calls(persisttest.OpChangeRooms)) })
	for n := 1; n < len(errs); n++ {
		room := roomName(n)
		if n == 4 {
			room = "bad"
		}
		put(n, room)
	}
	eventually(t, "all wait", func() bool { return yserver.HeldLocks(k.Srv) == len(errs) })
	time.Sleep(20 * time.Millisecond) // and are most likely submitted: they fail alone either way
	block.lift()
	for n, c := range errs {
		err := receive(t, c)
		if n == 4 {
			require.ErrorIs(t, err, persist.ErrCorrupt)
		} else {
			require.NoError(t, err, n)
		}
	}
	require.NoError(t, k.Srv.Ready())
}

func TestStorageJSON(t *testing.T) {
	k := start(t)
	s, ctx := k.roomOf("r").Storage(), t.Context()
	type note struct {
		Text string `json:"text"`
		N    int
	}
	_, found, err := yserver.GetJSON[note](ctx, s, "n")
	require.NoError(t, err)
	require.False(t, found)
	require.NoError(t, yserver.PutJSON(ctx, s, "n", note{"hi", 3}))
	got, found, err := yserver.GetJSON[note](ctx, s, "n")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, note{"hi", 3}, got)
	require.NoError(t, s.Transaction(ctx, func(tx *yserver.Tx) error {
		if err := yserver.PutJSON(ctx, tx, "m", []int{1}); err != nil {
			return err
		}
		got, found, err := yserver.GetJSON[[]int](ctx, tx, "m")
		require.True(t, found)
		require.Equal(t, []int{1}, got)
		return err
	}))
	_, _, err = yserver.GetJSON[int](ctx, s, "n")
	require.ErrorContains(t, err, `"n"`)
	require.ErrorContains(t, yserver.PutJSON(ctx, s, "x", math.Inf(1)), `"x"`)
}

// documentsOnly is a store that keeps no data of rooms.
type documentsOnly struct{ yserver.Store }

func TestAServerWithoutStorage(t *testing.T) {
	k := start(t, withStore(documentsOnly{persisttest.NewMemory()}))
	room, ctx := k.roomOf("r"), t.Context()
	require.ErrorIs(t, room.Storage().Put(ctx, "a", nil), yserver.ErrNoStorage)
	_, err := room.Storage().Get(ctx, "a")
	require.ErrorIs(t, err, yserver.ErrNoStorage)
	_, err = room.Storage().List(ctx, yserver.ListOptions{})
	require.ErrorIs(t, err, yserver.ErrNoStorage)
	require.ErrorIs(t, room.SetAlarm(ctx, time.Now()), yserver.ErrNoStorage)
	require.ErrorIs(t, room.DeleteAlarm(ctx), yserver.ErrNoStorage)
	_, err = room.Alarm(ctx)
	require.ErrorIs(t, err, yserver.ErrNoStorage)
	cfg, p := yserver.Config{Store: documentsOnly{persisttest.NewMemory()}}, yserver.Party{Name: "main"}
	withState()(&cfg, &p)
	_, err = yserver.New(cfg, p)
	require.ErrorContains(t, err, "state or history")
}

func TestStorageAfterShutdown(t *testing.T) {
	k := start(t)
	s := k.roomOf("r").Storage()
	fill(t, s, "a")
	require.NoError(t, k.Srv.Shutdown(t.Context()))
	require.ErrorIs(t, s.Put(t.Context(), "b", nil), persist.ErrClosed)
	require.ErrorIs(t, k.roomOf("r").SetAlarm(t.Context(), time.Now()), persist.ErrClosed)
	v, err := s.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, items("a")[0].Value, v)
}

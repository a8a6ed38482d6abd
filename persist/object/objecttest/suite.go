package objecttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing" //nolint:depguard // this package is for tests
	"time"

	"github.com/stretchr/testify/require" //nolint:depguard // this package is for tests

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

// most is more than any object of the suite has.
const most = 64 << 20

// Open opens a new, empty bucket that goes with the test. It fails the test itself.
type Open func(tb testing.TB) object.Bucket

// Run tests that the buckets that open returns keep the contract of object.Bucket.
func Run(t *testing.T, open Open) {
	for _, rule := range []struct {
		name string
		test func(*env)
	}{
		{"put and get return bytes as they were", testBytes},
		{"put copies, get lends", testOwnership},
		{"put never overwrites", testNoOverwrite},
		{"one of many puts wins, and equal ones all do", testConcurrentPuts},
		{"get of what is not there", testMissing},
		{"get is bounded", testBound},
		{"delete drops, and may be repeated", testDelete},
		{"list pages in the order of names", testList},
		{"list describes", testListInfo},
		{"list survives changes between pages", testListChanging},
		{"names of any document", testNames},
		{"what is no name is refused", testInvalid},
		{"done contexts are respected", testContext},
		{"check leaves nothing behind", testCheck},
		{"use by many", testConcurrent},
	} {
		t.Run(rule.name, func(t *testing.T) { rule.test(&env{T: t, ctx: t.Context(), b: open(t)}) })
	}
}

// env is one bucket under test.
type env struct {
	*testing.T
	ctx context.Context
	b   object.Bucket
}

func (e *env) put(name, data string) {
	e.Helper()
	require.NoError(e, e.b.Put(e.ctx, name, []byte(data)))
}

func (e *env) get(name string) string {
	e.Helper()
	data, err := e.b.Get(e.ctx, name, most)
	require.NoError(e, err)
	return string(data)
}

// list returns all names with a prefix, page by page.
func (e *env) list(prefix string, limit int) (names []string) {
	e.Helper()
	after := ""
	for {
		page, err := e.b.List(e.ctx, prefix, after, limit)
		require.NoError(e, err)
		require.LessOrEqual(e, len(page), object.PageLimit(limit))
		for _, info := range page {
			require.Greater(e, info.Name, after, "the order is that of the bytes")
			after = info.Name
			names = append(names, after)
		}
		if len(page) < object.PageLimit(limit) {
			return names
		}
	}
}

// noise returns bytes that do not compress and are others for each seed.
func noise(n int, seed uint64) []byte {
	data := make([]byte, n)
	for i := range data {
		seed = seed*6364136223846793005 + 1442695040888963407
		data[i] = byte(seed >> 56)
	}
	return data
}

func testBytes(e *env) {
	for i, data := range [][]byte{{0}, []byte("text"), noise(100_000, 1), noise(9<<20, 2)} {
		name := fmt.Sprint("bytes/", i)
		require.NoError(e, e.b.Put(e.ctx, name, data))
		found, err := e.b.Get(e.ctx, name, int64(len(data)))
		require.NoError(e, err)
		require.True(e, bytes.Equal(data, found), "%d bytes", len(data))
	}
}

func testOwnership(e *env) {
	data := []byte("before")
	require.NoError(e, e.b.Put(e.ctx, "a", data))
	copy(data, "after!")
	found, err := e.b.Get(e.ctx, "a", most)
	require.NoError(e, err)
	require.Equal(e, "before", string(found))
	copy(found, "after!")
	require.Equal(e, "before", e.get("a"))
}

func testNoOverwrite(e *env) {
	e.put("a", "first")
	e.put("a", "first")
	for _, other := range []string{"other", "firs", "first!", ""} {
		err := e.b.Put(e.ctx, "a", []byte(other))
		require.ErrorIs(e, err, object.ErrExists)
		require.NotErrorIs(e, err, persist.ErrUnavailable, "repeating it does not help")
	}
	require.Equal(e, "first", e.get("a"))

	// A server may refuse before it has read what is put.
	large := noise(9<<20, 1)
	for range 3 {
		require.NoError(e, e.b.Put(e.ctx, "large", large))
		other := bytes.Clone(large[1:])
		require.ErrorIs(e, e.b.Put(e.ctx, "large", other), object.ErrExists)
		clear(other) // it is the caller's again
		require.Equal(e, "first", e.get("a"), "the answers are those to the questions")
	}
}

func testConcurrentPuts(e *env) {
	const writers = 8
	var wg sync.WaitGroup
	var won atomic.Int64
	for n := range writers {
		wg.Go(func() {
			err := e.b.Put(e.ctx, "contested", fmt.Appendf(nil, "of writer %d", n))
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, object.ErrExists) {
				e.Errorf("put: %v", err)
			}
			if err := e.b.Put(e.ctx, "agreed", []byte("of all")); err != nil {
				e.Errorf("put: %v", err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(e, 1, won.Load())
	require.Contains(e, e.get("contested"), "of writer ")
	require.Equal(e, "of all", e.get("agreed"))
}

func testMissing(e *env) {
	e.put("folder/there", "x")
	for _, name := range []string{"none", "folder", "folder/there/none", "folder/ther"} {
		_, err := e.b.Get(e.ctx, name, most)
		require.ErrorIs(e, err, persist.ErrNotFound, name)
		require.NotErrorIs(e, err, persist.ErrCorrupt)
	}
}

func testBound(e *env) {
	e.put("a", "12345")
	found, err := e.b.Get(e.ctx, "a", 5)
	require.NoError(e, err)
	require.Len(e, found, 5)
	for _, bound := range []int64{4, 0, -1} {
		_, err = e.b.Get(e.ctx, "a", bound)
		require.ErrorIs(e, err, persist.ErrCorrupt)
		require.ErrorIs(e, err, object.ErrTooLarge)
	}
}

func testDelete(e *env) {
	var names []string
	for n := range 40 {
		names = append(names, fmt.Sprint("many/", n))
		e.put(names[n], "x")
	}
	e.put("kept", "x")
	require.NoError(e, e.b.Delete(e.ctx, names[:1]))
	require.NoError(e, e.b.Delete(e.ctx, nil))
	require.NoError(e, e.b.Delete(e.ctx, append([]string{"never"}, names...)))
	require.NoError(e, e.b.Delete(e.ctx, names))
	require.Equal(e, []string{"kept"}, e.list("", 0))
	_, err := e.b.Get(e.ctx, names[3], most)
	require.ErrorIs(e, err, persist.ErrNotFound)
	require.NoError(e, e.b.Put(e.ctx, names[3], []byte("another")), "the name is free")
	require.Equal(e, "another", e.get(names[3]))
}

func testList(e *env) {
	// A slash comes before digits and behind a dash: an order by folders would be another.
	names := []string{"a/main-2/x", "a/main/x", "a/main/y", "a/main0/x", "a/main_/x", "aa", "b"}
	for _, name := range names {
		e.put(name, "x")
	}
	for _, limit := range []int{0, 1, 2, 3, object.MaxListLimit + 1} {
		require.Equal(e, names, e.list("", limit), "limit %d", limit)
	}
	require.Equal(e, names[:5], e.list("a/", 2))
	require.Equal(e, names[1:3], e.list("a/main/", 1))
	require.Equal(e, names[:5], e.list("a/ma", 3))
	require.Empty(e, e.list("c", 0))
	page, err := e.b.List(e.ctx, "a/", "a/main/", 2) // a name that is none of them
	require.NoError(e, err)
	require.Equal(e, names[1:3], []string{page[0].Name, page[1].Name})
	page, err = e.b.List(e.ctx, "a/", "b", 2)
	require.NoError(e, err)
	require.Empty(e, page)
}

func testListInfo(e *env) {
	e.put("a", "12345")
	page, err := e.b.List(e.ctx, "", "", 0)
	require.NoError(e, err)
	require.Len(e, page, 1)
	require.Equal(e, "a", page[0].Name)
	require.EqualValues(e, 5, page[0].Size)
	require.WithinDuration(e, time.Now(), page[0].Modified, time.Hour)
}

func testListChanging(e *env) {
	var names []string
	for n := range 10 {
		names = append(names, fmt.Sprintf("n/%02d", n))
		e.put(names[n], "x")
	}
	page, err := e.b.List(e.ctx, "n/", "", 5)
	require.NoError(e, err)
	require.Len(e, page, 5)
	require.NoError(e, e.b.Delete(e.ctx, []string{names[4], names[6]}))
	e.put("n/00a", "x")
	e.put("n/05a", "x")
	page, err = e.b.List(e.ctx, "n/", page[4].Name, 10)
	require.NoError(e, err)
	var rest []string
	for _, info := range page {
		rest = append(rest, info.Name)
	}
	require.Equal(e, []string{"n/05", "n/05a", "n/07", "n/08", "n/09"}, rest)
}

func testNames(e *env) {
	const uuid = "6fe7c4e6-0d2a-4d39-8f0e-6a1d9f5b7c11"
	longest := strings.Repeat("\xff", persist.MaxNameBytes)
	var names []string
	for i, k := range []persist.Key{
		{Party: "main", Room: "r"},
		{Party: "..", Room: ".."},
		{Party: ".", Room: "a/b"},
		{Party: "a/b", Room: "\n"},
		{Party: "A b+c%20&d=e?f#g~h", Room: "\xff"},
		{Party: "ä\U0001f600", Room: "r"},
		{Party: longest, Room: longest},
	} {
		data := noise(100, uint64(i))
		state, sum := object.Encode(data)
		for _, name := range []string{
			object.SnapshotName(uuid, k, 1<<63, 1<<63, sum), object.VersionName(uuid, k, k.Party, sum),
		} {
			require.NoError(e, e.b.Put(e.ctx, name, state), "%q", k)
			found, err := e.b.Get(e.ctx, name, most)
			require.NoError(e, err)
			decoded, err := object.Decode(found, sum, 100)
			require.NoError(e, err)
			require.Equal(e, data, decoded)
			names = append(names, name)
			require.Contains(e, e.list(object.DocumentPrefix(uuid, k), 1), name)
		}
	}
	slices.Sort(names)
	require.Equal(e, names, e.list(object.StorePrefix(uuid), 3))
	require.NoError(e, e.b.Delete(e.ctx, names))
	require.Empty(e, e.list("", 0))
}

func testInvalid(e *env) {
	for _, name := range []string{"", "/", "a/", "/a", "a//b", "..", "a/../b", "a/./b", "a b", "ä", "a\x00", "a?b", "a\\b", strings.Repeat("a/", 500) + "a"} {
		require.ErrorIs(e, e.b.Put(e.ctx, name, []byte("x")), persist.ErrInvalid, "%q", name)
		_, err := e.b.Get(e.ctx, name, most)
		require.ErrorIs(e, err, persist.ErrInvalid, "%q", name)
		require.ErrorIs(e, e.b.Delete(e.ctx, []string{"a", name}), persist.ErrInvalid, "%q", name)
	}
}

func testContext(e *env) {
	e.put("a", "x")
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	_, getErr := e.b.Get(ctx, "a", most)
	_, listErr := e.b.List(ctx, "", "", 0)
	for _, err := range []error{e.b.Put(ctx, "b", []byte("x")), getErr, e.b.Delete(ctx, []string{"a"}), listErr, e.b.Check(ctx)} {
		require.ErrorIs(e, err, context.Canceled)
		require.NotErrorIs(e, err, persist.ErrUnavailable)
	}
	require.Equal(e, "x", e.get("a"))
}

func testCheck(e *env) {
	require.NoError(e, e.b.Check(e.ctx))
	e.put("a", "x")
	require.NoError(e, e.b.Check(e.ctx))
	require.Equal(e, []string{"a"}, e.list("", 0))
}

func testConcurrent(e *env) {
	const workers, rounds = 6, 8
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := range rounds {
				name, data := fmt.Sprintf("%d/%d", w, n), noise(1000+n, uint64(w))
				err := e.b.Put(e.ctx, name, data)
				if err == nil {
					var found []byte
					found, err = e.b.Get(e.ctx, name, most)
					if !bytes.Equal(data, found) {
						e.Errorf("%s came back otherwise", name)
					}
				}
				if err == nil && n%2 == 0 {
					err = e.b.Delete(e.ctx, []string{name})
				}
				if err != nil {
					e.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	wg.Wait()
	require.Len(e, e.list("", 7), workers*rounds/2)
}

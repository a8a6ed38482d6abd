package persisttest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
)

// Open opens the store of that name, a plain word that Run makes up. The same
// name opened again, after Close, finds what was stored. It fails the test
// itself, and leaves closing to Run.
type Open func(tb testing.TB, name string) Store

// Run tests that the stores that open returns keep package persist's contract.
func Run(t *testing.T, open Open) {
	for _, rule := range []struct {
		name string
		test func(*env)
	}{
		{"unknown document does not exist and loading it writes nothing", testUnknown},
		{"append creates, numbers and returns bytes as they were", testAppend},
		{"append of many documents: each by itself", testAppendMany},
		{"append twice to one document in one call", testAppendTwice},
		{"append of nothing checks and writes nothing", testAppendNothing},
		{"append to another sequence or epoch is refused", testAppendRefused},
		{"append copies, load lends", testOwnership},
		{"load after", testLoadAfter},
		{"compact folds the log", testCompact},
		{"compact is refused when stale", testCompactRefused},
		{"compact of large snapshots", testCompactLarge},
		{"compact keeps rows that came meanwhile", testCompactKeepsNewer},
		{"delete leaves a tombstone", testDelete},
		{"undelete takes it back", testUndelete},
		{"dead client ids gather", testDead},
		{"replace begins an epoch", testReplace},
		{"replace creates", testReplaceCreates},
		{"replace is refused", testReplaceRefused},
		{"replace copies, load lends", testReplaceOwnership},
		{"purge leaves nothing", testPurge},
		{"purge of parts", testPurgeParts},
		{"sweep purges tombstones", testSweepTombstones},
		{"versions are kept", testVersions},
		{"versions are listed newest first", testVersionsListed},
		{"versions are refused", testVersionsRefused},
		{"versions are deleted", testDeleteVersion},
		{"versions of a quarantined document", testVersionsQuarantine},
		{"done contexts and a closed store, of lives and versions", testLivesRefused},
		{"list pages through a party", testList},
		{"list survives changes between pages", testListChanging},
		{"list describes", testListInfo},
		{"keys are kept apart", testKeys},
		{"invalid arguments are refused", testInvalid},
		{"quarantine takes out of service", testQuarantine},
		{"done contexts are respected", testContext},
		{"closed store refuses", testClosed},
		{"reopening finds everything", testReopen},
		{"concurrent writers of one document lose and double nothing", testConcurrentWriters},
		{"load is consistent under append and compact", testConcurrentLoad},
		{"writers that follow the rules survive faults", testFaults},
		{"behaves as the model", testModel},
	} {
		t.Run(rule.name, func(t *testing.T) {
			rule.test(newEnv(t, open))
		})
	}
}

// env is one store under test.
type env struct {
	*testing.T
	ctx   context.Context
	store Store
	open  func() Store
}

var names atomic.Uint64

func newEnv(t *testing.T, open Open) *env {
	name := fmt.Sprintf("store%d", names.Add(1))
	e := &env{T: t, ctx: t.Context(), open: func() Store { return open(t, name) }}
	e.store = e.open()
	t.Cleanup(func() { require.NoError(t, e.store.Close()) })
	return e
}

// reopen closes the store and opens it again.
func (e *env) reopen() {
	require.NoError(e, e.store.Close())
	e.store = e.open()
}

func key(room string) persist.Key { return persist.Key{Party: "main", Room: room} }

// text turns strings into updates.
func text(updates ...string) [][]byte {
	var out [][]byte
	for _, u := range updates {
		out = append(out, []byte(u))
	}
	return out
}

// append appends to one document and returns its result.
func (e *env) append(k persist.Key, after persist.Seq, updates ...string) persist.Result {
	e.Helper()
	results, err := e.store.Append(e.ctx, []persist.Append{{Key: k, After: after, Updates: text(updates...)}})
	require.NoError(e, err)
	require.Len(e, results, 1)
	return results[0]
}

// mustAppend appends to one document, which must take it.
func (e *env) mustAppend(k persist.Key, after persist.Seq, updates ...string) {
	e.Helper()
	require.Equal(e, persist.Result{Seq: after + uint64(len(updates))}, e.append(k, after, updates...))
}

func (e *env) mustCompact(k persist.Key, upTo persist.Seq, snapshot string) {
	e.Helper()
	require.NoError(e, e.store.Compact(e.ctx, k, 0, upTo, []byte(snapshot)))
}

// content is a document as a line of text: "snapshot@seq row row".
func content(d persist.Document) string {
	var b strings.Builder
	if d.Snapshot.Seq != 0 {
		fmt.Fprintf(&b, "%s@%d", d.Snapshot.Data, d.Snapshot.Seq)
	}
	return strings.TrimSpace(b.String() + " " + rowsText(d.Tail))
}

func rowsText(rows []persist.Update) string {
	var words []string
	for _, u := range rows {
		words = append(words, string(u.Data))
	}
	return strings.Join(words, " ")
}

// load loads a document that exists and checks its numbers.
func (e *env) load(k persist.Key) persist.Document {
	e.Helper()
	d, err := e.store.Load(e.ctx, k)
	require.NoError(e, err)
	require.True(e, d.Exists, "%q does not exist", k)
	requireNumbered(e, d)
	return d
}

// requireNumbered checks that the tail goes on where the snapshot ends.
func requireNumbered(tb require.TestingT, d persist.Document) {
	require.Equal(tb, d.Seq, d.Snapshot.Seq+uint64(len(d.Tail)))
	for i, u := range d.Tail {
		require.Equal(tb, d.Snapshot.Seq+uint64(i)+1, u.Seq)
		require.NotNil(tb, u.Data)
	}
	require.Equal(tb, d.Snapshot.Seq == 0, d.Snapshot.Data == nil)
}

// rooms lists all rooms of a party, in pages of limit.
func (e *env) rooms(party, prefix string, limit int) (rooms []string) {
	e.Helper()
	cursor := ""
	for {
		page, next, err := e.store.List(e.ctx, party, prefix, cursor, limit)
		require.NoError(e, err)
		require.LessOrEqual(e, len(page), limit)
		for _, info := range page {
			require.Equal(e, party, info.Key.Party)
			rooms = append(rooms, info.Key.Room)
		}
		if next == "" {
			return rooms
		}
		require.NotEmpty(e, page, "an empty page with a cursor")
		cursor = next
	}
}

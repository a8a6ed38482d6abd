package pebble_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

// TestNothingIsReadBeforeItIsDurable holds an fsync up: its row is visible to
// nobody until the fsync has come back, documents beside it are not held up, and
// the caller can leave without taking its bytes along.
func TestNothingIsReadBeforeItIsDurable(t *testing.T) {
	disk := newBadDisk()
	s := mustOpen(t, "db", pebble.Options{FS: disk})
	mustAppend(t, s, notes, 0, "a")
	mustAppend(t, s, sound, 0, "a")
	release := disk.hold()

	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	update := []byte("as it was")
	go func() {
		_, err := s.Append(ctx, []persist.Append{{Key: notes, After: 1, Updates: [][]byte{update}}})
		left <- err
	}()
	disk.held()
	soon, cancelSoon := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancelSoon()
	_, err := s.Load(soon, notes)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = s.LoadAfter(soon, notes, 1)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, uint64(1), mustLoad(t, s, sound).Seq)

	cancel()
	require.ErrorIs(t, <-left, context.Canceled)
	copy(update, "changed!!")

	answer := make(chan []persist.Update)
	go func() {
		rows, err := s.LoadAfter(t.Context(), notes, 1)
		require.NoError(t, err)
		answer <- rows
	}()
	release()
	require.Equal(t, []persist.Update{{Seq: 2, Data: []byte("as it was")}}, <-answer)
	require.NoError(t, s.Close())
}

// TestConcurrentCallsShareFsyncs: what comes while an fsync is under way shares
// the next.
func TestConcurrentCallsShareFsyncs(t *testing.T) {
	disk := newBadDisk()
	s := mustOpen(t, "db", pebble.Options{FS: disk})
	mustAppend(t, s, notes, 0, "a")
	release := disk.hold()
	before := disk.syncs()
	const callers = 50
	outcome := make(chan error)
	for i := range callers {
		go func() {
			outcome <- tryAppend(t.Context(), s, persist.Key{Party: "main", Room: fmt.Sprint(i)}, 0, "x")
		}()
	}
	disk.held()
	require.Eventually(t, func() bool { return s.Stats().InFlight == callers && s.Applied() == callers+1 }, 10*time.Second, time.Millisecond)
	release()
	for range callers {
		require.NoError(t, <-outcome)
	}
	require.LessOrEqual(t, disk.syncs()-before, 3)
	require.NoError(t, s.Close())
}

// TestInFlightIsBounded: calls over the bound wait, and can leave.
func TestInFlightIsBounded(t *testing.T) {
	disk := newBadDisk()
	s := mustOpen(t, "db", pebble.Options{FS: disk, MaxInFlight: 1})
	release := disk.hold()
	first := make(chan error)
	go func() { first <- tryAppend(context.Background(), s, notes, 0, "a") }()
	disk.held()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, tryAppend(ctx, s, sound, 0, "a"), context.DeadlineExceeded)
	release()
	require.NoError(t, <-first)
	require.False(t, mustLoad(t, s, sound).Exists, "it left before it had begun")
	require.NoError(t, s.Close())
}

package pebble_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
)

// TestPing: a store that cannot commit says so without being brought anything, and says when it can again.
func TestPing(t *testing.T) {
	disk := newBadDisk()
	s := mustOpen(t, "db", quick(disk))
	k := diskKeys[0]
	require.NoError(t, tryAppend(t.Context(), s, k, 0, line(k, 0)))
	require.NoError(t, s.Ping(t.Context()))

	disk.fail(syscall.ENOSPC, onFiles(".log", "", opWrite, opSync))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := s.Ping(ctx)
	require.ErrorIs(t, err, persist.ErrUnavailable)
	require.ErrorIs(t, err, syscall.ENOSPC)
	disk.fail(nil, nil)
	require.Eventually(t, func() bool { return s.Ping(t.Context()) == nil }, 20*time.Second, time.Millisecond)

	release := disk.hold() // a disk that says nothing at all is no error of the disk
	ctx, cancel = context.WithCancel(t.Context())
	answer := make(chan error, 1)
	go func() { answer <- s.Ping(ctx) }()
	disk.held()
	cancel()
	require.ErrorIs(t, <-answer, context.Canceled)
	inFlight := s.Stats().InFlight
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Ping(ctx), context.DeadlineExceeded)
	require.Equal(t, inFlight, s.Stats().InFlight, "it takes no place where it learns nothing more")
	release()
	require.NoError(t, s.Ping(t.Context()))

	require.NoError(t, tryAppend(t.Context(), s, k, 1, line(k, 1)))
	crashed := disk.CrashClone(vfs.CrashCloneCfg{})
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Ping(t.Context()), persist.ErrClosed)
	disk.crashMem = crashed
	s = mustOpen(t, "db", quick(disk))
	defer func() { require.NoError(t, s.Close()) }()
	d, err := s.Load(t.Context(), k)
	require.NoError(t, err)
	require.Len(t, d.Tail, 2, "it is in no document")
}

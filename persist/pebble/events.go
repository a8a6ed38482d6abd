package pebble

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// engineLogger gives the engine's log lines to slog.
type engineLogger struct{ log *slog.Logger }

// Infof is engine.Logger's.
func (l engineLogger) Infof(format string, args ...any) { l.printf(slog.LevelDebug, format, args) }

// Errorf is engine.Logger's.
func (l engineLogger) Errorf(format string, args ...any) { l.printf(slog.LevelWarn, format, args) }

// Fatalf is engine.Logger's. The engine relies on it not to return. It is
// reached only where an invariant of the engine is broken, since disk errors are
// kept from it (see patientFS): going on could damage what is stored, and a
// process that dies here loses nothing that was acknowledged. On a goroutine of
// the store's the panic is caught and only the store is lost.
func (l engineLogger) Fatalf(format string, args ...any) {
	panic(engineFatal(fmt.Sprintf(format, args...)))
}

func (l engineLogger) printf(level slog.Level, format string, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, fmt.Sprintf(format, args...))
	}
}

// engineFatal is what Fatalf panics with.
type engineFatal string

// Error is the engine's message.
func (e engineFatal) Error() string { return "storage engine: " + string(e) }

// eventListener surfaces what happens behind the calls. The engine calls it with
// its locks held: nothing here may call the engine.
func (s *Store) eventListener() *engine.EventListener {
	return &engine.EventListener{
		BackgroundError: s.backgroundError,
		// Without a listener of its own the engine ends the process here. A
		// damaged block concerns the documents in it: reading them fails.
		DataCorruption: func(info engine.DataCorruptionInfo) {
			s.counters.backgroundErrors.Add(1)
			s.log.Error("a stored block is damaged", "info", info.String())
		},
		FlushEnd: func(info engine.FlushInfo) {
			if isEmptyFlush(info) {
				info.Err = nil
			}
			s.health.flushed(info.Err)
		},
		WriteStallBegin: func(info engine.WriteStallBeginInfo) {
			s.counters.writeStalls.Add(1)
			s.log.Warn("writes wait for the storage engine", "reason", info.Reason)
		},
		WriteStallEnd: func() { s.log.Info("writes go on") },
	}
}

// backgroundErrorPause keeps work that fails again and again out of the log.
const backgroundErrorPause = 10 * time.Second

func (s *Store) backgroundError(err error) {
	n := s.counters.backgroundErrors.Add(1)
	now := s.opts.Now().UnixNano()
	last := s.loggedBackground.Load()
	if now-last < int64(backgroundErrorPause) || !s.loggedBackground.CompareAndSwap(last, now) {
		return
	}
	s.log.Warn("background work of the storage engine failed, it will be repeated", "err", err.Error(), "failures", n)
}

// isEmptyFlush recognises a flush that succeeded and had nothing to write (all
// of it was deleted again), which the engine reports as an error of a kind that
// it does not export.
func isEmptyFlush(info engine.FlushInfo) bool {
	return info.Err != nil && info.Err.Error() == "pebble: empty table"
}

func (s *Store) slowDisk(info vfs.DiskSlowInfo) {
	s.counters.slowOps.Add(1)
	s.log.Warn("the disk is slow", "file", info.Path, "op", info.OpType.String(), "took", info.Duration)
}

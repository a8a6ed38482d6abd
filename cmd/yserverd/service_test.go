package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/yserver"
)

// fullDisk is a store that takes no edits. When somebody tried, it says so.
type fullDisk struct {
	yserver.RoomStore
	tried chan struct{}
}

func (fullDisk) Load(context.Context, persist.Key) (persist.Document, error) {
	return persist.Document{}, nil
}

func (fullDisk) LoadAfter(context.Context, persist.Key, persist.Seq) ([]persist.Update, error) {
	return nil, nil
}

func (d fullDisk) Append(context.Context, []persist.Append) ([]persist.Result, error) {
	select {
	case d.tried <- struct{}{}:
	default:
	}
	return nil, errors.New("disk full")
}

func (fullDisk) Compact(context.Context, persist.Key, persist.Epoch, persist.Seq, []byte) error {
	return errors.New("disk full")
}

func (fullDisk) Close() error { return nil }

// TestUnsavedEdits: a store that fails until the shutdown's time is over costs exit 3 and the count of bytes, and nobody
// was told that the edit is stored.
func TestUnsavedEdits(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg := devConfig("", "")
	cfg.ShutdownTimeout = 300 * time.Millisecond
	store := fullDisk{RoomStore: persisttest.NewMemory(), tried: make(chan struct{}, 1)}
	s, err := startOn(listeners{public: listener}, store, cfg, forThisMachine, nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)

	conn := dial(t, s.addr().String(), "/r")
	send(t, conn, typed)
	<-store.tried
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	hung := make(chan [][]byte, 1)
	go func() {
		var frames [][]byte
		for {
			_, frame, err := conn.ReadMessage()
			if err != nil {
				hung <- frames
				return
			}
			frames = append(frames, frame)
		}
	}()
	err = s.runUntil(ctx)
	require.ErrorContains(t, err, "bytes of edits could not be stored within 300ms")
	require.NotContains(t, <-hung, typed, "the echo says that it is stored")
	var errs bytes.Buffer
	require.Equal(t, exitStart, (&Main{Stderr: &errs}).report(err))
}

// TestListenerFails: a server that can accept nothing any more ends in order, and says why.
func TestListenerFails(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	store, err := pebble.Open(t.TempDir(), pebble.Options{})
	require.NoError(t, err)
	s, err := startOn(listeners{public: listener}, store, devConfig("", ""), forThisMachine, nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	require.ErrorIs(t, s.runUntil(context.Background()), net.ErrClosed)
	_, err = store.Load(context.Background(), persist.Key{Party: "main", Room: "r"})
	require.ErrorIs(t, err, persist.ErrClosed, "the store is closed too")
}

func TestHealth(t *testing.T) {
	store, err := pebble.Open(filepath.Join(t.TempDir(), "documents"), pebble.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	rooms, err := newRooms(devConfig("", ""), forThisMachine, nil, store, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	handler := withHealth(rooms)
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"), path)
		return w.Code, w.Body.String()
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		status, body := get(path)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "ok\n", body)
	}
	require.NoError(t, rooms.Shutdown(context.Background()))
	status, _ := get("/healthz")
	require.Equal(t, http.StatusOK, status, "the process still runs")
	status, body := get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.NotEmpty(t, body)
}

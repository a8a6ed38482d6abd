package s3_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/s3test"
	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
	"github.com/yserverd/yserverd/persist/object/objecttest"
	"github.com/yserverd/yserverd/persist/s3"
)

// faultTimeout is what requests get on a line with faults. What fails for good needs some of these.
const faultTimeout = 1500 * time.Millisecond

// line is a connection to a server that can be disturbed.
type line struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

// newLine returns options that lead over the line, and the line.
func newLine(t *testing.T, o s3.Options) (s3.Options, *line) {
	t.Helper()
	proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "s3", "127.0.0.1:0", o.Endpoint)
	require.NoError(t, proxy.Start())
	t.Cleanup(proxy.Stop)
	o.Endpoint, o.Timeout = proxy.Listen, faultTimeout
	return o, &line{t, proxy}
}

// disturb adds a toxic to both directions, or to one.
func (l *line) disturb(kind string, attributes map[string]int, streams ...string) {
	l.t.Helper()
	if streams == nil {
		streams = []string{"upstream", "downstream"}
	}
	for _, stream := range streams {
		toxic, err := json.Marshal(map[string]any{"name": stream, "type": kind, "stream": stream, "attributes": attributes})
		require.NoError(l.t, err)
		_, err = l.proxy.Toxics.AddToxicJson(bytes.NewReader(toxic))
		require.NoError(l.t, err)
	}
}

// repair takes all toxics away.
func (l *line) repair() { l.proxy.Toxics.ResetToxics(context.Background()) }

// noise returns bytes that do not compress.
func noise(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data) // it never fails
	return data
}

func TestSlowLineKeepsTheContract(t *testing.T) {
	objecttest.Run(t, func(tb testing.TB) object.Bucket {
		o, l := newLine(tb.(*testing.T), options(tb))
		o.Timeout = time.Minute
		l.disturb("latency", map[string]int{"latency": 5, "jitter": 3})
		return open(tb, o)
	})
}

// TestFaultsEnd: whatever happens to the line, every call ends with an error that says to try again, and does so when the
// line is right.
func TestFaultsEnd(t *testing.T) {
	server, bucket := s3test.Bucket(t)
	for name, fault := range map[string]struct {
		strike func(*line)
		mend   func(*line)
	}{
		"reset":            {func(l *line) { l.disturb("reset_peer", map[string]int{"timeout": 0}) }, (*line).repair},
		"half-open":        {func(l *line) { l.disturb("timeout", map[string]int{"timeout": 0}) }, (*line).repair},
		"questions vanish": {func(l *line) { l.disturb("timeout", map[string]int{"timeout": 0}, "upstream") }, (*line).repair},
		"answers vanish":   {func(l *line) { l.disturb("timeout", map[string]int{"timeout": 0}, "downstream") }, (*line).repair},
		"answers are cut":  {func(l *line) { l.disturb("limit_data", map[string]int{"bytes": 20}, "downstream") }, (*line).repair},
		"slower than time": {func(l *line) { l.disturb("latency", map[string]int{"latency": 600_000}) }, (*line).repair},
		"cut":              {func(l *line) { l.proxy.Stop() }, func(l *line) { require.NoError(l.t, l.proxy.Start()) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, l := newLine(t, optionsOf(server, bucket))
			o.Prefix = "of/" + t.Name()[len("TestFaultsEnd/"):]
			b := open(t, o)
			require.NoError(t, b.Put(t.Context(), "a", []byte("text")), "there are connections in the pool")
			fault.strike(l)
			began := time.Now()
			for op, err := range askAll(t.Context(), b) {
				require.ErrorIs(t, err, persist.ErrUnavailable, op)
			}
			require.Less(t, time.Since(began), 10*faultTimeout)
			ctx, cancel := context.WithTimeout(t.Context(), faultTimeout/10)
			defer cancel()
			for op, err := range askAll(ctx, b) {
				// A line that is cut may be so before the context is done.
				require.True(t, errors.Is(err, context.DeadlineExceeded) || errors.Is(err, persist.ErrUnavailable), "%s: %v", op, err)
			}
			fault.mend(l)
			require.NoError(t, b.Check(t.Context()))
			require.NoError(t, b.Put(t.Context(), "a2", []byte("text")))
			require.NoError(t, b.Put(t.Context(), "new", []byte("x")), "whether it was stored or not")
			data, err := b.Get(t.Context(), "new", most)
			require.NoError(t, err)
			require.Equal(t, "x", string(data))
		})
	}
}

// TestLineCutInTheMiddle: an object is never stored or read in part.
func TestLineCutInTheMiddle(t *testing.T) {
	o := options(t)
	direct := open(t, o)
	data := noise(1 << 20)
	o, l := newLine(t, o)
	b := open(t, o)
	for _, n := range []int{1, 100, 1000, 100_000, 1 << 20} {
		l.disturb("limit_data", map[string]int{"bytes": n}, "upstream")
		require.ErrorIs(t, b.Put(t.Context(), "put", data), persist.ErrUnavailable, "%d bytes", n)
		l.repair()
		_, err := direct.Get(t.Context(), "put", most)
		require.ErrorIs(t, err, persist.ErrNotFound, "%d bytes", n)
	}
	require.NoError(t, b.Put(t.Context(), "put", data))
	for _, n := range []int{1, 100, 1000, 100_000, 1 << 20} {
		l.disturb("limit_data", map[string]int{"bytes": n}, "downstream")
		found, err := b.Get(t.Context(), "put", most)
		require.ErrorIs(t, err, persist.ErrUnavailable, "%d bytes", n)
		require.Nil(t, found)
		l.repair()
	}
	found, err := b.Get(t.Context(), "put", most)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, found))
}

// TestLostAnswer: the server has stored what it could not say.
func TestLostAnswer(t *testing.T) {
	o := options(t)
	direct := open(t, o)
	o, l := newLine(t, o)
	b := open(t, o)
	l.disturb("timeout", map[string]int{"timeout": 0}, "downstream")
	require.ErrorIs(t, b.Put(t.Context(), "a", []byte("text")), persist.ErrUnavailable)
	l.repair()
	require.NoError(t, direct.Put(t.Context(), "a", []byte("text")))
	require.NoError(t, b.Put(t.Context(), "a", []byte("text")), "repeating it is right")
	require.ErrorIs(t, b.Put(t.Context(), "a", []byte("other")), object.ErrExists)
}

// TestTooSlowALine: what comes too slowly ends too, in the time that its bytes may take.
func TestTooSlowALine(t *testing.T) {
	o := options(t)
	direct := open(t, o)
	data := noise(1 << 20)
	require.NoError(t, direct.Put(t.Context(), "a", data))
	o, l := newLine(t, o)
	o.MinRate = 1 << 20
	b := open(t, o)
	l.disturb("bandwidth", map[string]int{"rate": 10}) // kilobytes a second
	began := time.Now()
	_, err := b.Get(t.Context(), "a", int64(len(data)))
	require.ErrorIs(t, err, persist.ErrUnavailable)
	require.ErrorContains(t, err, "no answer within")
	err = b.Put(t.Context(), "b", data)
	require.ErrorIs(t, err, persist.ErrUnavailable)
	require.Less(t, time.Since(began), 20*faultTimeout)
}

// TestServerGoesAndComes: the same bucket serves again, without anybody's doing.
func TestServerGoesAndComes(t *testing.T) {
	server := s3test.New(t)
	o := optionsOf(server, server.Bucket(t))
	o.Timeout = 10 * faultTimeout
	b := open(t, o)
	require.NoError(t, b.Put(t.Context(), "a", []byte("text")))
	for _, end := range []func() error{server.Kill, server.Stop} {
		require.NoError(t, end())
		for op, err := range askAll(t.Context(), b) {
			require.ErrorIs(t, err, persist.ErrUnavailable, op)
		}
		require.NoError(t, server.Start())
		data, err := b.Get(t.Context(), "a", most)
		require.NoError(t, err)
		require.Equal(t, "text", string(data))
		require.NoError(t, b.Check(t.Context()))
	}
}

// TestPoolOfDeadConnections: after one call has failed on connections that a network forgot, the next one makes its own.
func TestPoolOfDeadConnections(t *testing.T) {
	o := options(t)
	proxy := ytest.StartProxy(t, o.Endpoint)
	o.Endpoint, o.Timeout = proxy.Address(), faultTimeout
	var connections atomic.Int64
	b := open(t, o.WithDial(func(ctx context.Context, network, address string) (net.Conn, error) {
		connections.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}))
	require.NoError(t, b.Put(t.Context(), "a", []byte("text")))
	for connections.Store(0); connections.Load() < 6; { // more than the tries of a call
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				if _, err := b.Get(t.Context(), "a", most); err != nil {
					t.Errorf("get: %v", err)
				}
			})
		}
		wg.Wait()
	}
	proxy.Freeze()
	if _, err := b.Get(t.Context(), "a", most); err != nil {
		require.ErrorIs(t, err, persist.ErrUnavailable)
	}
	_, err := b.Get(t.Context(), "a", most)
	require.NoError(t, err)
}

package yserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/olahol/melody"
)

// errSocketsClosed refuses new connections during shutdown.
var errSocketsClosed = errors.New("sockets are shutting down")

// socketConfig bounds the connections. Zero means the default given.
type socketConfig struct {
	MaxMessage   int64         // of a message from a client; 32 MiB
	PingInterval time.Duration // of pings; 25 s
	PongWait     time.Duration // a client that is silent for this long is gone; 60 s
	QueueBytes   int64         // what may wait for one peer; 4 MiB
	WriteStall   time.Duration // a client that takes nothing for this long is gone; 60 s
	CloseGrace   time.Duration // for writing what waits, the close frame and its answer; 5 s
	InboundBytes int64         // of messages over 1 MiB that are being received; 512 MiB
	Logger       *slog.Logger  // for panics; slog.Default

	// For tests.
	walkEvery       time.Duration
	inboundPatience time.Duration
}

func (c socketConfig) withDefaults() socketConfig {
	setDefault(&c.MaxMessage, 32<<20)
	setDefault(&c.PingInterval, 25*time.Second)
	setDefault(&c.PongWait, 60*time.Second)
	setDefault(&c.QueueBytes, 4<<20)
	setDefault(&c.WriteStall, 60*time.Second)
	setDefault(&c.CloseGrace, 5*time.Second)
	setDefault(&c.InboundBytes, 512<<20)
	setDefault(&c.walkEvery, keepaliveEvery)
	setDefault(&c.inboundPatience, inboundPatience)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// socketStats counts what happened to connections since the start.
type socketStats struct {
	accepted    atomic.Int64
	left        atomic.Int64
	conflations atomic.Int64 // peers that fell behind
	slow        atomic.Int64 // closed 1013: too many messages that cannot be dropped
	stalled     atomic.Int64 // cut: took nothing for WriteStall
	silent      atomic.Int64 // gone: nothing heard for PongWait
	tooLong     atomic.Int64 // closed 1009
	lagging     atomic.Int64 // closed 1008: held the inbound budget without getting on
	keepalives  atomic.Int64
	panics      atomic.Int64 // of receivers
	bytesIn     atomic.Int64
	bytesOut    atomic.Int64
}

// sockets is all WebSocket connections of a server. It owns the melody instance:
// a session per connection that reads messages, pings, and answers pings and
// close frames; data frames are written by the peers themselves.
type sockets struct {
	// Static after construction.
	cfg    socketConfig
	m      *melody.Melody
	begun  time.Time
	stop   chan struct{}
	walked chan struct{}
	pings  chan *peer
	pinged chan struct{}

	inbound inbound
	stats   socketStats
	tick    atomic.Uint32  // of the keepalive walk
	wg      sync.WaitGroup // goroutines of peers
	end     sync.Once

	mu    sync.Mutex
	peers []*peer
	down  bool
}

// Buffers of a session. Larger messages are read past the buffer.
const (
	sessionReadBuffer  = 512
	sessionWriteBuffer = 256
)

const shutdownReason = "server is shutting down"

// newSockets starts three goroutines; shutdown ends them.
func newSockets(cfg socketConfig) *sockets {
	cfg = cfg.withDefaults()
	s := &sockets{
		cfg:     cfg,
		m:       melody.New(),
		begun:   time.Now(),
		stop:    make(chan struct{}),
		walked:  make(chan struct{}),
		inbound: inbound{limit: cfg.InboundBytes},
		pings:   make(chan *peer, pingsAhead),
		pinged:  make(chan struct{}),
	}
	s.m.Upgrader = &websocket.Upgrader{
		ReadBufferSize:  sessionReadBuffer,
		WriteBufferSize: sessionWriteBuffer,
		WriteBufferPool: &sync.Pool{},
		// The gate has decided about the origin long before.
		CheckOrigin: func(*http.Request) bool { return true },
	}
	s.m.Config.PingPeriod = cfg.PingInterval
	s.m.Config.PongWait = cfg.PongWait
	s.m.Config.MaxMessageSize = cfg.MaxMessage // conn is stricter, or as strict
	s.m.Config.MessageBufferSize = 1           // nothing is sent through the session
	s.m.HandleConnect(func(ms *melody.Session) { ms.Request = nil })
	s.m.HandleMessage(func(ms *melody.Session, msg []byte) { s.message(ms, false, msg) })
	s.m.HandleMessageBinary(func(ms *melody.Session, msg []byte) { s.message(ms, true, msg) })
	s.m.HandleError(s.sessionError)
	go s.walk(cfg.walkEvery)
	go s.ping()
	return s
}

// reserve counts a peer in, before its connection is taken out of net/http.
func (s *sockets) reserve() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errSocketsClosed
	}
	s.wg.Add(1)
	return nil
}

// register adds a reserved peer to those that are walked. One that comes after
// shutdown has begun is closed like the others.
func (s *sockets) register(p *peer) {
	s.stats.accepted.Add(1)
	s.mu.Lock()
	p.index = len(s.peers)
	p.pushed = s.tick.Load()
	s.peers = append(s.peers, p)
	down := s.down
	s.mu.Unlock()
	if down {
		p.close(closeGoingAway, shutdownReason)
	}
}

// forget removes the peer from those that are walked.
func (s *sockets) forget(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.peers) - 1
	s.peers[p.index] = s.peers[last]
	s.peers[p.index].index = p.index
	s.peers[last] = nil
	s.peers = s.peers[:last]
	s.stats.left.Add(1)
}

func (s *sockets) all() []*peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.peers)
}

// now is a clock that only moves forward.
func (s *sockets) now() time.Duration { return time.Since(s.begun) }

// live is the number of connections.
func (s *sockets) live() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.peers)
}

// began looks at what melody said about a session that is over.
//
//go:noinline
func (s *sockets) began(p *peer, err error) {
	if err != nil {
		s.cfg.Logger.Error("websocket session was not begun", "remote", p.remote, "error", err)
	}
}

// peerOf finds the peer of a session: the address of its connection knows it. A
// session could keep it under a key as well, in a map that costs every
// connection 350 bytes and every message a look-up.
func peerOf(ms *melody.Session) *peer { return ms.RemoteAddr().(*conn).p }

// message gives a message to the room. It runs in the reading goroutine.
func (s *sockets) message(ms *melody.Session, binary bool, msg []byte) {
	p := peerOf(ms)
	if p.conn.hold != nil {
		s.inbound.completed(p.conn.hold)
	}
	if !binary && !utf8.Valid(msg) {
		p.refuse(closeInvalidPayload, "text is not UTF-8")
		return
	}
	p.conn.receiving(true)
	defer p.conn.receiving(false)
	defer s.survive(p, "receive")
	p.waitReplies()
	if !p.deaf() {
		p.to.receive(p, binary, msg)
	}
}

func (s *sockets) tellDrained(p *peer) {
	defer s.survive(p, "drained")
	p.to.drained(p)
}

func (s *sockets) tellLeft(p *peer, c closeInfo) {
	defer s.survive(p, "left")
	p.to.left(p, c)
}

// deaf reports whether the room does not want to hear from the peer any more.
func (p *peer) deaf() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.doneFire
}

// sessionError keeps why reading ended. Nothing is sent through the session, so
// there are no other errors.
func (s *sockets) sessionError(ms *melody.Session, err error) {
	p := peerOf(ms)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.final == nil {
		p.final = err
	}
}

// closeOf reads the client's close frame from the error that ended a session.
func closeOf(err error) (code int, reason string, ok bool) {
	var ce *websocket.CloseError
	if errors.As(err, &ce) && ce.Code != closeAbnormal {
		return ce.Code, ce.Text, true
	}
	return closeAbnormal, "", false
}

// survive is deferred around what a room does for a peer: a panic closes the
// peer and goes no further.
func (s *sockets) survive(p *peer, what string) {
	if v := recover(); v != nil {
		s.stats.panics.Add(1)
		s.cfg.Logger.Error("panic in a connection", "in", what, "remote", p.remote, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		p.close(closeInternalError, "internal error")
	}
}

// shutdown refuses new connections, closes those that are still there with 1001
// and waits until all have left, then ends what newSockets started. When ctx
// ends first, the sockets are cut; rooms that do not return from their callbacks
// even then are not waited for, and the error of ctx is returned; shutdown may
// be called again.
func (s *sockets) shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.down = true
	s.mu.Unlock()
	for _, p := range s.all() {
		p.close(closeGoingAway, shutdownReason)
	}
	gone := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-ctx.Done():
		for _, p := range s.all() {
			p.cut()
		}
		select {
		case <-gone:
		case <-time.After(s.cfg.CloseGrace):
			return ctx.Err()
		}
	}
	s.end.Do(func() {
		close(s.stop)
		<-s.walked
		<-s.pinged
		// Melody only ends safely without sessions. It says that it is closed
		// before, which nobody can have done.
		_ = s.m.Close()
	})
	return nil
}

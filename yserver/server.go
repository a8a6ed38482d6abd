package yserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/persist"
)

// writeStall is how long a client may read nothing at most, a tab that is stopped
// in a debugger or by its browser, before it has to connect again. One that is
// gone is noticed by its silence long before.
const writeStall = 3 * time.Minute

var (
	errRoomEnded    = errors.New("room has ended")
	errTooManyPeers = errors.New("too many connections in the room")
	errTooManyBytes = errors.New("too many bytes of documents in memory")
)

// Server serves rooms. Make it with [New], end it with [Server.Shutdown]. It is
// safe for concurrent use.
type Server struct {
	// Static after construction.
	cfg       Config
	log       *slog.Logger
	router    *router
	registry  *registry
	committer *committer[persist.Append]
	changer   *committer[persist.RoomChange] // nil without a store for the data of rooms
	storage   keyedLocks                     // of transactions
	sizes     roomSizes
	alarms    *alarmClock
	courier   *courier   // nil without webhooks
	lives     keyedLocks // of who loads a document, or ends its epoch
	sweeper   *sweeper   // nil without an archive
	warden    *warden    // of open connections
	flapping  *flapping
	upgrades  *rate.Limiter // nil: no limit
	folding   chan struct{} // bounds compactions at once
	parties   []*party

	counters counters
	rooms    sync.WaitGroup
	loads    context.Context // ends when Shutdown gives up
	endLoads context.CancelFunc
	draining atomic.Bool
	users    atomic.Pointer[userMembers] // nil without a Broadcaster

	mu    sync.Mutex
	perIP map[string]int // guarded by mu; only when there is a limit
	total int            // connections, guarded by mu
	stop  sync.Once
}

// party is a Party with what serves it.
type party struct {
	Party
	sockets *sockets
	admit   gate.Rule // Access, or that of Guard
	askers  [2]asker  // of the warden
}

// New makes a server for the parties. It starts goroutines; call Shutdown.
func New(cfg Config, parties ...Party) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(parties); err != nil {
		return nil, fmt.Errorf("yserver: %w", err)
	}
	s := &Server{
		cfg:     cfg,
		log:     cfg.Logger,
		folding: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		perIP:   map[string]int{},
	}
	s.loads, s.endLoads = context.WithCancel(context.Background())
	s.registry = newRegistry(cfg.Limits.Rooms, func(e *entry, d *dormant) (*room, error) { return s.loadRoom(e.party, e, d) })
	for _, p := range parties {
		p = p.withDefaults()
		admit := p.Access
		if p.Guard != nil {
			admit = p.Guard.Admit
		}
		s.parties = append(s.parties, &party{Party: p, sockets: newSockets(s.socketConfig(p)), admit: admit})
	}
	s.router = newRouter(cfg, s.parties)
	s.flapping = newFlapping()
	if n := cfg.Limits.UpgradesPerSecond; n > 0 {
		s.upgrades = rate.NewLimiter(rate.Limit(n), n)
	}
	s.warden = newWarden(s)
	s.warden.start()
	s.committer = newAppender(cfg)
	if cfg.Archive != nil && cfg.Sweep.Interval > 0 {
		s.sweeper = newSweeper(cfg, &s.counters)
		s.sweeper.start()
	}
	if cfg.RoomStore != nil {
		s.changer = newChanger(cfg)
		s.alarms = newAlarmClock(s)
		if box, ok := cfg.RoomStore.(Outbox); ok && s.anyWebhook() {
			s.courier = newCourier(s, box)
		}
		s.alarms.start()
	}
	return s, nil
}

func (s *Server) anyWebhook() bool {
	return slices.ContainsFunc(s.parties, func(p *party) bool { return p.Document != nil && p.Document.Webhook != nil })
}

func (s *Server) socketConfig(p Party) socketConfig {
	return socketConfig{
		MaxMessage:   p.Limits.Message,
		PingInterval: p.PingInterval,
		PongWait:     2*p.PingInterval + 10*time.Second,
		WriteStall:   writeStall,
		QueueBytes:   p.Limits.PeerQueue,
		InboundBytes: s.cfg.Limits.InboundBytes,
		Logger:       s.log,
	}
}

// Room returns a handle of a room, or an error for a party that does not exist.
// The room need not be live, nor exist.
func (s *Server) Room(party, room string) (*Room, error) {
	p := s.router.parties[party]
	if p == nil {
		return nil, fmt.Errorf("yserver: no party is named %q", party)
	}
	return &Room{srv: s, party: p, id: roomID{party, room}}, nil
}

// Ready returns nil while the server takes connections and its store commits.
// It is meant for a readiness probe.
func (s *Server) Ready() error {
	if s.draining.Load() {
		return errDraining
	}
	since := s.committer.failingSince()
	if s.changer != nil && since.IsZero() {
		since = s.changer.failingSince()
	}
	if !since.IsZero() {
		return fmt.Errorf("store has not committed for %s", time.Since(since).Round(time.Second))
	}
	return nil
}

// laden reports whether all rooms together have more that waits for the store
// than they may. A room with an append under way then waits for that, which is
// what it hears of when things are better; so each has a message more at most.
func (s *Server) laden() bool {
	c := &s.counters
	return c.pendingBytes.Load()+updateCost*c.pendingUpdates.Load() > s.cfg.Limits.Uncommitted
}

// Shutdown ends the server: no new connections, every edit stored and
// acknowledged, every document saved, then the sockets are closed with 1012. If
// ctx ends before that, it gives up and returns an [UnsavedError] when edits
// were not stored. The listener must have stopped accepting before.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	defer context.AfterFunc(ctx, s.endLoads)()
	s.warden.stop()
	if s.sweeper != nil {
		s.sweeper.stop()
	}
	if s.alarms != nil {
		s.alarms.stop()
	}
	if s.courier != nil {
		s.courier.stop(ctx)
	}
	for _, r := range s.registry.close() {
		go r.post(r.startDrain)
	}
	ended := make(chan struct{})
	go func() {
		s.rooms.Wait()
		close(ended)
	}()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		err = s.abandon(ended)
	}
	for _, p := range s.parties {
		err = errors.Join(err, p.sockets.shutdown(ctx))
	}
	if err == nil { // else there may be rooms that never take what they are told
		s.warden.beside.Wait()
	}
	s.stop.Do(func() {
		s.committer.stop(ctx)
		if s.changer != nil {
			s.alarms.wait(ctx)
			s.changer.stop(ctx)
		}
	})
	return err
}

// flaps notes that the server closed a connection, if its client has a name.
func (s *Server) flaps(m *member) {
	if m.ownID {
		s.flapping.closed(flapper{m.conn.addr, m.entry.id, m.conn.id})
	}
}

// abandon ends the rooms that are still there, stored or not.
func (s *Server) abandon(ended <-chan struct{}) error {
	unsaved := s.counters.pendingBytes.Load()
	for _, r := range s.registry.close() {
		go r.post(func() { r.evict(closeServiceRestart, "server is restarting") })
	}
	select {
	case <-ended:
	case <-time.After(hookGrace): // code of the application ignores that its room has ended
		s.log.Error("rooms have not ended; the server goes without them")
	}
	if unsaved > 0 {
		return &UnsavedError{Bytes: unsaved}
	}
	return context.DeadlineExceeded
}

// UnsavedError is returned by Shutdown when the store could not take everything
// in time. Nobody was told that these edits are stored.
type UnsavedError struct {
	Bytes int64
}

// Error implements error.
func (e *UnsavedError) Error() string {
	return fmt.Sprintf("yserver: shut down with %d bytes of edits not stored", e.Bytes)
}

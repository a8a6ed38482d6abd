package pebble

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/yserverd/yserverd/persist"
)

// Store is the embedded document store: persist's contract in one directory. Its
// methods may be called from any goroutine.
type Store struct {
	// Static after construction.
	opts     Options
	log      *slog.Logger
	dir      string
	db       *engine.DB
	fs       *patientFS
	fsCloser io.Closer
	dirLock  *engine.Lock
	health   *health
	uuid     string

	// The way of a commit, see commit.
	lock    chan struct{} // one slot: the write lock
	places  chan struct{} // one slot for each commit in flight
	commitq chan *commit  // closed by Close
	syncq   chan *commit  // closed by commitLoop
	loops   sync.WaitGroup

	// Owned by the holder of the write lock.
	ticket  uint64 // of the last durable commit that was queued
	next    uint64 // next free number for documents and snapshots
	scratch []byte

	// Safe for concurrent use by themselves.
	heads       *heads
	applied     watermark // commits that are visible
	durable     watermark // commits that are on disk
	quarantined quarantined
	counters    counters
	applying    atomic.Bool // commitLoop is inside the engine
	dead        atomic.Bool // the engine must not be given commits any more

	use    sync.RWMutex // held by every call, for reading; by Close for good
	closed atomic.Bool
	kick   chan struct{} // closed when Close has waited long enough for calls
}

// Open opens the store in dir, and creates it if there is none. Errors match
// persist.ErrLocked (another process, or this one, has it open) or
// persist.ErrFormat (written by a newer version, or not a store) where that is
// the reason.
func Open(dir string, opts Options) (*Store, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	s := newStore(opts.withDefaults())
	if err := s.open(dir); err != nil {
		s.abandonOpen()
		return nil, fmt.Errorf("open document store %q: %w", dir, err)
	}
	s.fs.arm()
	s.loops.Add(2)
	go s.commitLoop()
	go s.syncLoop()
	return s, nil
}

func newStore(opts Options) *Store {
	return &Store{
		opts:    opts,
		log:     opts.Logger,
		health:  newHealth(opts.Logger),
		lock:    make(chan struct{}, 1),
		places:  make(chan struct{}, opts.MaxInFlight),
		commitq: make(chan *commit, opts.MaxInFlight),
		syncq:   make(chan *commit, opts.MaxInFlight),
		heads:   newHeads(opts.Heads),
		kick:    make(chan struct{}),
	}
}

func (s *Store) open(dir string) error {
	inner := s.opts.FS
	if inner == nil {
		inner = vfs.Default
	}
	if err := inner.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	if s.opts.FS == nil {
		// The lock knows a directory by its name: one name for all ways to it.
		abs, err := filepath.Abs(dir)
		if err == nil {
			abs, err = filepath.EvalSymlinks(abs)
		}
		if err != nil {
			return fmt.Errorf("resolve directory: %w", err)
		}
		dir = abs
	}
	s.dir = dir
	inner, s.fsCloser = vfs.WithDiskHealthChecks(inner, s.opts.SlowDisk, nil, s.slowDisk)
	s.fs = newPatientFS(inner, dir, s.health, s.opts.RetryPause)
	if err := s.lockDir(); err != nil {
		return err
	}
	if err := s.openEngine(); err != nil {
		return err
	}
	if err := s.openMeta(); err != nil {
		return err
	}
	if err := s.openQuarantine(); err != nil {
		return err
	}
	return s.sweep()
}

func (s *Store) lockDir() error {
	lock, err := engine.LockDirectory(s.dir, s.fs)
	if err == nil {
		s.dirLock = lock
		return nil
	}
	// Creating the lock file fails with a PathError, taking the lock does not.
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("lock directory: %w", err)
	}
	return &persist.LockedError{Place: s.dir, Err: err}
}

func (s *Store) openEngine() (err error) {
	defer func() {
		if r := recover(); r != nil {
			fatal, ok := r.(engineFatal)
			if !ok {
				panic(r)
			}
			err = fatal
		}
	}()
	o := s.engineOptions()
	o.Lock = s.dirLock
	s.db, err = engine.Open(s.dir, o)
	return err
}

// abandonOpen releases what open took before it failed.
func (s *Store) abandonOpen() {
	if s.db != nil {
		_ = s.db.Close()
	}
	if s.dirLock != nil {
		_ = s.dirLock.Close()
	}
	if s.fsCloser != nil {
		_ = s.fsCloser.Close()
	}
}

// Dir returns the directory, absolute and without symbolic links.
func (s *Store) Dir() string { return s.dir }

// UUID returns the store's identity, drawn when it was created, in the usual
// text form.
func (s *Store) UUID() string { return s.uuid }

// enter begins a call, leave ends it: Close waits for calls.
func (s *Store) enter() error {
	if s.closed.Load() {
		return persist.ErrClosed
	}
	s.use.RLock()
	if s.closed.Load() {
		s.use.RUnlock()
		return persist.ErrClosed
	}
	return nil
}

func (s *Store) leave() { s.use.RUnlock() }

// Close waits for the calls in flight and closes the store. A disk that refuses
// to write is waited for, but no longer than a few times Options.CloseTimeout;
// then the error matches persist.ErrUnavailable, nothing acknowledged is lost,
// and the directory may stay locked until the process ends.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	var err error
	if !s.drain() || !s.within(func() { err = s.db.Close() }) {
		return fmt.Errorf("close document store %q: %w", s.dir, errors.Join(persist.ErrUnavailable, s.health.err()))
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", persist.ErrUnavailable, err)
	}
	err = errors.Join(err, s.dirLock.Close(), s.fsCloser.Close())
	if err != nil {
		return fmt.Errorf("close document store %q: %w", s.dir, err)
	}
	return nil
}

// drain waits until no call and no commit is in flight, and says whether it came
// to that.
func (s *Store) drain() bool {
	idle := async(s.use.Lock)
	if !inTime(idle, s.opts.CloseTimeout) {
		close(s.kick)
		if !inTime(idle, s.opts.CloseTimeout) {
			return false
		}
	}
	if !s.waitMarks(2 * s.opts.CloseTimeout) {
		return false
	}
	close(s.commitq)
	return s.within(s.loops.Wait)
}

// within runs fn, and after a while without the patience of patientFS, unless
// the engine is working on a commit, which would not survive that.
func (s *Store) within(fn func()) bool {
	done := async(fn)
	if inTime(done, s.opts.CloseTimeout) {
		return true
	}
	if s.applying.Load() {
		return false
	}
	s.fs.giveUp()
	return inTime(done, s.opts.CloseTimeout)
}

func async(fn func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	return done
}

// inTime waits for done, and returns whether it came before the timeout.
func inTime(done <-chan struct{}, timeout time.Duration) bool {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

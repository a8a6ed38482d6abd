package pebble

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/yserverd/yserverd/persist"
)

// Store is the embedded store of documents and of the data of rooms: persist's
// contract in one directory. Its methods may be called from any goroutine.
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
	heads            *recent[head]
	rooms            *recent[roomState]
	applied          watermark // commits that are visible
	durable          watermark // commits that are on disk
	quarantined      quarantined
	quarantinedRooms quarantined
	alarmTimes       roomTimes
	deliveryTimes    roomTimes
	documents        docLocks // for what makes and drops objects
	sweeping         sweeping
	counters         counters
	gauges           gauges

	loggedBackground atomic.Int64   // when a background error was logged last
	background       sync.WaitGroup // what calls have left to be done; Close waits for it
	applying         atomic.Bool    // commitLoop is inside the engine
	dead             atomic.Bool    // the engine must not be given commits any more

	use    sync.RWMutex // held by every call, for reading; by Close for good
	closed atomic.Bool
}

// Open opens the store in dir, and creates it if there is none. Errors match
// persist.ErrLocked (another process, or this one, has it open),
// persist.ErrFormat (written by a newer version, or not a store) or
// persist.ErrUnavailable (the disk refuses to write) where that is the reason.
func Open(dir string, opts Options) (*Store, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	s := newStore(opts.withDefaults())
	if err := s.openInTime(dir); err != nil {
		return nil, fmt.Errorf("open document store %q: %w", dir, err)
	}
	s.loops.Add(2)
	go s.commitLoop()
	go s.syncLoop()
	return s, nil
}

// openInTime opens, or fails if the disk refuses to write for too long. Opening
// then goes on in the background, since the engine cannot be stopped, and what it
// has opened by the end is closed again.
func (s *Store) openInTime(dir string) error {
	var err error // of opening; read once that has ended
	opened := async(func() {
		if err = s.open(dir); err != nil {
			s.abandonOpen()
		}
	})
	if stuck := s.unlessStuck(opened); stuck != nil {
		go func() {
			<-opened
			if err == nil {
				s.abandonOpen()
			}
		}()
		return stuck
	}
	return err
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
		heads:   newRecent[head](opts.Heads),
		rooms:   newRecent[roomState](opts.Heads),

		alarmTimes:    roomTimes{record: kindAlarm, index: kindAlarmTime, what: "alarm"},
		deliveryTimes: roomTimes{record: kindDelivery, index: kindDeliveryTime, what: "delivery"},
		sweeping:      sweeping{slot: make(chan struct{}, 1)},

		quarantined:      quarantined{kind: kindQuarantine, what: "document"},
		quarantinedRooms: quarantined{kind: kindRoomQuarantine, what: "data of a room"},
	}
}

func (s *Store) open(dir string) error {
	inner := s.opts.FS
	if inner == nil {
		inner = vfs.Default
	}
	if err := makeDir(inner, dir); err != nil {
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
	s.dropCheckpoints()
	if err := s.openEngine(); err != nil {
		return err
	}
	if err := s.openMeta(); err != nil {
		return err
	}
	for _, q := range []*quarantined{&s.quarantined, &s.quarantinedRooms} {
		if err := s.openQuarantine(q); err != nil {
			return err
		}
	}
	return s.dropUnfinished()
}

// makeDir creates a directory that is nobody else's to read, and what is missing
// above it, and syncs the parents, so that a power cut leaves the whole path.
func makeDir(fsys vfs.FS, dir string) error {
	parents := []string{fsys.PathDir(dir)}
	for {
		last := parents[len(parents)-1]
		if _, err := fsys.Stat(last); err == nil || fsys.PathDir(last) == last {
			break
		}
		parents = append(parents, fsys.PathDir(last))
	}
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, parent := range parents {
		d, err := fsys.OpenDir(parent)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
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
	defer recoverError(&err)
	o := s.engineOptions()
	o.Lock = s.dirLock
	s.db, err = engine.Open(s.dir, o)
	return err
}

func (s *Store) closeEngine() (err error) {
	defer recoverError(&err)
	return s.db.Close()
}

// recoverError turns a panic with an error, which is how the engine reports much
// that goes wrong while it opens and closes, into that error.
func recoverError(err *error) {
	r := recover()
	if r == nil {
		return
	}
	cause, ok := r.(error)
	var bug runtime.Error
	if !ok || errors.As(cause, &bug) {
		panic(r)
	}
	*err = cause
}

// abandonOpen releases what open took before it failed.
func (s *Store) abandonOpen() {
	if s.db != nil {
		_ = s.closeEngine()
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
// to write is waited for, but only a few times Options.DiskTimeout; then the
// error matches persist.ErrUnavailable, nothing acknowledged is lost, and the
// directory may stay locked until the process ends.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	var err error
	if !s.drain() || !s.finish(func() { err = s.closeEngine() }) {
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
// to that. Calls do not wait for a disk that refuses to write; commits do.
func (s *Store) drain() bool {
	idle := async(func() {
		s.use.Lock()
		s.background.Wait()
	})
	if s.unlessStuck(idle) != nil {
		return false
	}
	close(s.commitq)
	return s.finish(s.loops.Wait)
}

// finish runs fn, and if the disk refuses to write for too long goes on without
// the patience of patientFS, unless the engine is working on a commit, which
// would not survive that. It returns whether fn came to its end.
func (s *Store) finish(fn func()) bool {
	done := async(fn)
	if s.unlessStuck(done) == nil {
		return true
	}
	if s.applying.Load() {
		return false
	}
	s.fs.giveUp()
	return s.unlessStuck(done) == nil
}

func async(fn func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	return done
}

// unlessStuck waits for done. It returns an error when done has not come and the
// disk has been refusing to write for Options.DiskTimeout.
func (s *Store) unlessStuck(done <-chan struct{}) error {
	for {
		select {
		case <-done:
			return nil
		case <-s.health.trouble():
		}
		if inTime(done, s.opts.DiskTimeout) {
			return nil
		}
		if err := s.health.err(); err != nil {
			return err
		}
	}
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

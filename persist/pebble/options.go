package pebble

import (
	"fmt"
	"log/slog"
	"time"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/yserverd/yserverd/persist/object"
)

// Options are the tunables of a Store. The zero value is the production default;
// it is sized for a process of a few tens of megabytes.
type Options struct {
	// Logger takes what the store and its engine have to say: the engine's own
	// chatter at debug, slow disks at warn, a disk that refuses to write at
	// error. Zero means no logging.
	Logger *slog.Logger

	// Bucket is where snapshots and the states of versions are put. Zero means
	// that they stay in the store. What was stored without one stays readable with
	// one, but not the other way round. It must outlive the store.
	Bucket object.Bucket

	// CacheBytes bounds the cache of sorted table blocks. Zero means 8 MiB.
	CacheBytes int64
	// MemTableBytes is how much is gathered in memory (and in the write-ahead
	// log) before it is written as a sorted table. Up to three of them exist at
	// a time. Zero means 4 MiB.
	MemTableBytes int64
	// MaxOpenFiles bounds open table files, softly. Zero means 500.
	MaxOpenFiles int
	// Heads is how many documents' heads are remembered, so that an append to
	// one of them reads nothing; about 400 bytes each. As many rooms' alarms are
	// remembered besides, of about 250 bytes. Zero means 4096.
	Heads int
	// MaxInFlight bounds the writing calls between their check and their fsync;
	// more of them wait. Zero means 64.
	MaxInFlight int

	// SlowDisk is how long one disk operation may take before it is logged and
	// counted. Zero means 5 s.
	SlowDisk time.Duration
	// RetryPause is the time between two attempts at a disk operation that
	// failed. Zero means 100 ms.
	RetryPause time.Duration
	// DiskTimeout is how long Open and Close wait for a disk that refuses to
	// write; Close does so up to a few times in a row. Zero means 5 s.
	DiskTimeout time.Duration

	// Now tells the time for the records. Zero means time.Now.
	Now func() time.Time
	// FS is the file system, for tests. Zero means the operating system's.
	FS vfs.FS

	noSync     bool // commit without fsync: for the test that proves fsync matters
	pieceBytes int  // of a snapshot's pieces; zero means 960 KiB
	tableBytes int64
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	setDefault(&o.CacheBytes, 8<<20)
	setDefault(&o.MemTableBytes, 4<<20)
	setDefault(&o.MaxOpenFiles, 500)
	setDefault(&o.Heads, 4096)
	setDefault(&o.MaxInFlight, 64)
	setDefault(&o.SlowDisk, 5*time.Second)
	setDefault(&o.RetryPause, 100*time.Millisecond)
	setDefault(&o.DiskTimeout, 5*time.Second)
	setDefault(&o.pieceBytes, 960<<10) // just below what the engine keeps of a batch for reuse
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o Options) validate() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"CacheBytes", o.CacheBytes},
		{"MemTableBytes", o.MemTableBytes},
		{"MaxOpenFiles", int64(o.MaxOpenFiles)},
		{"Heads", int64(o.Heads)},
		{"MaxInFlight", int64(o.MaxInFlight)},
		{"SlowDisk", int64(o.SlowDisk)},
		{"RetryPause", int64(o.RetryPause)},
		{"DiskTimeout", int64(o.DiskTimeout)},
	} {
		if f.value < 0 {
			return fmt.Errorf("pebble store: option %s is negative", f.name)
		}
	}
	// The engine's memtables are arenas with 32-bit offsets.
	if o.MemTableBytes > 1<<30 {
		return fmt.Errorf("pebble store: option MemTableBytes is over 1 GiB")
	}
	return nil
}

// engineOptions translates. The format version is named, not "newest", so that a
// newer engine library does not change what is on disk by itself.
func (s *Store) engineOptions() *engine.Options {
	o := &engine.Options{
		FS:                          s.fs,
		CacheSize:                   s.opts.CacheBytes,
		MemTableSize:                uint64(s.opts.MemTableBytes),
		MemTableStopWritesThreshold: 3,
		MaxOpenFiles:                s.opts.MaxOpenFiles,
		FormatMajorVersion:          engine.FormatValueSeparation,
		Logger:                      engineLogger{s.log},
		EventListener:               s.eventListener(),
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	if s.opts.tableBytes != 0 {
		o.TargetFileSizes[0] = s.opts.tableBytes
		o.LBaseMaxBytes = 4 * s.opts.tableBytes
		o.L0CompactionThreshold = 2
		o.MaxManifestFileSize = s.opts.tableBytes / 16
	}
	return o
}

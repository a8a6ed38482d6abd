package pebble_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// diskOp is a kind of writing operation.
type diskOp string

const (
	opCreate diskOp = "create"
	opReuse  diskOp = "reuse"
	opRemove diskOp = "remove"
	opWrite  diskOp = "write"
	opSync   diskOp = "sync"
	opClose  diskOp = "close"
)

// badDisk is a file system in memory whose writing operations fail while it is
// told to, as nastily as real ones: a write that fails has written half, and a
// sync that fails has dropped what it could not write, so that the next one
// succeeds without it.
type badDisk struct {
	*crashMem

	mu       sync.Mutex
	err      error
	only     func(name string, op diskOp) bool // nil: every operation
	failures int
	logSyncs int           // of logs, begun
	gate     chan struct{} // syncs of logs wait for it to be closed; nil: they do not
	waiting  chan struct{} // gets a token when one waits
}

func newBadDisk() *badDisk { return &badDisk{crashMem: newCrashMem()} }

// fail makes operations fail with err, or work again with nil. Calls of only
// come one at a time.
func (d *badDisk) fail(err error, only func(name string, op diskOp) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.only = err, only
}

func (d *badDisk) failed() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failures
}

func (d *badDisk) maybe(name string, op diskOp) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil || d.only != nil && !d.only(filepath.Base(name), op) {
		return nil
	}
	d.failures++
	return d.err
}

// onFiles chooses operations on files with that suffix or prefix.
func onFiles(suffix, prefix string, ops ...diskOp) func(string, diskOp) bool {
	return func(name string, op diskOp) bool {
		if !strings.HasSuffix(name, suffix) || !strings.HasPrefix(name, prefix) {
			return false
		}
		for _, o := range ops {
			if op == o {
				return true
			}
		}
		return false
	}
}

func (d *badDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := d.maybe(name, opCreate); err != nil {
		return nil, err
	}
	f, err := d.crashMem.Create(name, c)
	return d.wrap(name, f, err)
}

func (d *badDisk) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := d.maybe(name, opCreate); err != nil {
		return nil, err
	}
	f, err := d.crashMem.OpenReadWrite(name, c, opts...)
	return d.wrap(name, f, err)
}

func (d *badDisk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.crashMem.ReuseForWrite(oldname, newname, c)
	if err == nil {
		// Renamed, but not opened.
		if err := d.maybe(newname, opReuse); err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	return d.wrap(newname, f, err)
}

func (d *badDisk) OpenDir(name string) (vfs.File, error) {
	f, err := d.crashMem.OpenDir(name)
	return d.wrap(name, f, err)
}

func (d *badDisk) Remove(name string) error {
	if err := d.maybe(name, opRemove); err != nil {
		return err
	}
	return d.crashMem.Remove(name)
}

func (d *badDisk) Unwrap() vfs.FS { return d.MemFS }

func (d *badDisk) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &badFile{File: f, disk: d, name: name}, nil
}

type badFile struct {
	vfs.File
	disk *badDisk
	name string

	mu              sync.Mutex
	synced, written int64
}

func (f *badFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault := f.disk.maybe(f.name, opWrite)
	some := bytes.Clone(p)
	if fault != nil {
		some = some[:len(some)/2]
	}
	n, err := f.File.Write(some)
	f.written += int64(n)
	clear(p) // a file may modify what it is given
	if fault != nil {
		err = fault
	}
	return n, err
}

// hold makes syncs of logs wait until the function that it returns is called.
func (d *badDisk) hold() (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gate := make(chan struct{})
	d.gate, d.waiting = gate, make(chan struct{}, 1)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.gate = nil
		close(gate)
	}
}

// held waits until a sync waits.
func (d *badDisk) held() {
	d.mu.Lock()
	waiting := d.waiting
	d.mu.Unlock()
	<-waiting
}

func (d *badDisk) passLogSync() {
	d.mu.Lock()
	d.logSyncs++
	gate := d.gate
	if gate != nil {
		select {
		case d.waiting <- struct{}{}:
		default:
		}
	}
	d.mu.Unlock()
	if gate != nil {
		<-gate
	}
}

func (d *badDisk) syncs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.logSyncs
}

func (f *badFile) Sync() error {
	if filepath.Ext(f.name) == ".log" {
		f.disk.passLogSync()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.disk.maybe(f.name, opSync); err != nil {
		if n := f.written - f.synced; n > 0 {
			_, _ = f.File.WriteAt(make([]byte, n), f.synced)
		}
		return err
	}
	f.synced = f.written
	return f.File.Sync()
}

func (f *badFile) SyncData() error { return f.Sync() }

func (f *badFile) Close() error {
	err := f.File.Close()
	if fault := f.disk.maybe(f.name, opClose); fault != nil {
		return fault
	}
	return err
}

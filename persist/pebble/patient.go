package pebble

import (
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// patientFS stands between the engine and the file system. The engine cannot
// survive an error on its write-ahead log or its manifest: it panics, or ends
// the process. So such an operation is not allowed to fail: patientFS reports it
// to health and repeats it until it succeeds. The engine merely sees a slow
// disk; the store, told by health, fails its calls meanwhile.
//
// Errors on other files (sorted tables) reach the engine, which throws the
// unfinished table away, frees its space and tries again at once; patientFS
// delays them so that trying does not spin.
type patientFS struct {
	vfs.FS
	dir    string // of the store: a copy made elsewhere is nobody's to wait for
	health *health
	pause  time.Duration // between two attempts

	stop    chan struct{} // closed by giveUp
	stopper sync.Once

	mu      sync.Mutex
	tables  map[string]*tableFile // open for writing
	buffers [][]byte              // empty ones for vitalFile, at most maxBuffers
}

// maxBuffers is how many vital files are written to at a time as a rule: log and
// manifest.
const maxBuffers = 2

var _ vfs.FS = (*patientFS)(nil)

func newPatientFS(inner vfs.FS, dir string, h *health, pause time.Duration) *patientFS {
	p := &patientFS{FS: inner, health: h, pause: pause, stop: make(chan struct{}), tables: make(map[string]*tableFile)}
	p.dir = p.clean(dir)
	return p
}

// clean spells a directory as the parent of its files is spelt.
func (p *patientFS) clean(dir string) string { return p.PathDir(p.PathJoin(dir, "x")) }

// giveUp ends the patience with the write-ahead log: what is being repeated
// fails, and so does everything after it. The engine must not be given anything
// to commit from then on.
func (p *patientFS) giveUp() { p.stopper.Do(func() { close(p.stop) }) }

// role says how much depends on a file.
type role uint8

const (
	roleNone     role = iota // not of the store
	roleTable                // the engine survives an error
	roleLog                  // the engine survives an error only while closing
	roleManifest             // manifest, marker, options: the engine does not survive an error
)

func (p *patientFS) role(name string) role {
	switch {
	case p.PathDir(name) != p.dir:
		return roleNone
	case strings.HasSuffix(name, ".sst"), strings.HasSuffix(name, ".blob"):
		return roleTable
	case strings.HasSuffix(name, ".log"):
		return roleLog
	}
	return roleManifest
}

// do runs op, and again if need be, as the role demands.
func (p *patientFS) do(r role, op func() error) error {
	err := op()
	if err == nil || r == roleNone || hopeless(err) {
		return err
	}
	var stop <-chan struct{}
	if r != roleManifest {
		stop = p.stop
	}
	timer := time.NewTimer(p.pause)
	defer timer.Stop()
	if r == roleTable {
		select {
		case <-stop:
		case <-timer.C:
		}
		return err
	}
	p.health.block(err)
	defer p.health.unblock()
	for {
		select {
		case <-stop:
			return err
		case <-timer.C:
			timer.Reset(p.pause)
		}
		if err = op(); err == nil {
			return nil
		}
	}
}

// hopeless tells errors of the program from errors of the disk.
func hopeless(err error) bool {
	return errors.Is(err, os.ErrClosed) || errors.Is(err, os.ErrInvalid)
}

// Create is vfs.FS's. Before a marker, which names another file, the directory is
// synced: the engine does that once behind both, which leaves it to the file system
// whether a power cut before then keeps the marker without the manifest it names,
// and such a store does not open.
func (p *patientFS) Create(name string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	r := p.role(name)
	if r == roleManifest && strings.HasPrefix(p.PathBase(name), "marker.") {
		if err := p.do(r, p.syncDir); err != nil {
			return nil, err
		}
	}
	err = p.do(r, func() error {
		f, err = p.FS.Create(name, c)
		return err
	})
	return p.wrap(name, r, f, err)
}

// OpenReadWrite is vfs.FS's.
func (p *patientFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (f vfs.File, err error) {
	r := p.role(name)
	err = p.do(r, func() error {
		f, err = p.FS.OpenReadWrite(name, c, opts...)
		return err
	})
	return p.wrap(name, r, f, err)
}

// ReuseForWrite is vfs.FS's. A reuse that failed may have renamed the file
// already, so it is not repeated: a new file takes its place, which vfs.FS
// allows.
func (p *patientFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	r := p.role(newname)
	f, err := p.FS.ReuseForWrite(oldname, newname, c)
	if err != nil && r != roleNone {
		_ = p.Remove(oldname) // gone already, or swept when the store opens
		return p.Create(newname, c)
	}
	return p.wrap(newname, r, f, err)
}

// OpenDir is vfs.FS's. Directories are synced to make the files above known, so
// they are as vital.
func (p *patientFS) OpenDir(name string) (f vfs.File, err error) {
	r := roleNone
	if p.clean(name) == p.dir {
		r = roleManifest
	}
	err = p.do(r, func() error {
		f, err = p.FS.OpenDir(name)
		return err
	})
	return p.wrap(name, r, f, err)
}

func (p *patientFS) syncDir() error {
	d, err := p.FS.OpenDir(p.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Unwrap is vfs.FS's.
func (p *patientFS) Unwrap() vfs.FS { return p.FS }

func (p *patientFS) wrap(name string, r role, f vfs.File, err error) (vfs.File, error) {
	switch {
	case err != nil:
		return nil, err
	case r == roleNone:
		return f, nil
	case r == roleTable:
		t := &tableFile{File: f, fs: p, name: name}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.tables[name] = t
		return t, nil
	default:
		return &vitalFile{File: f, fs: p, role: r}, nil
	}
}

// Remove is vfs.FS's. A table that the engine gives up after an error it removes,
// but it may have failed to close it: it syncs before it closes, and stops there
// when that fails.
func (p *patientFS) Remove(name string) error {
	p.mu.Lock()
	t := p.tables[name]
	p.mu.Unlock()
	if t != nil {
		_ = t.Close()
	}
	return p.FS.Remove(name)
}

// takeBuffer returns an empty buffer, or nil.
func (p *patientFS) takeBuffer() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.buffers)
	if n == 0 {
		return nil
	}
	b := p.buffers[n-1]
	p.buffers = p.buffers[:n-1]
	return b
}

func (p *patientFS) giveBuffer(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.buffers) < maxBuffers {
		p.buffers = append(p.buffers, b[:0])
	}
}

// tableFile delays errors of writes.
type tableFile struct {
	vfs.File
	fs   *patientFS
	name string
}

// Write implements vfs.File; an error is told after a pause.
func (t *tableFile) Write(b []byte) (n int, err error) {
	err = t.fs.do(roleTable, func() error {
		n, err = t.File.Write(b)
		return err
	})
	return n, err
}

// Sync implements vfs.File, as Write does.
func (t *tableFile) Sync() error { return t.fs.do(roleTable, t.File.Sync) }

// SyncData implements vfs.File, as Write does.
func (t *tableFile) SyncData() error { return t.fs.do(roleTable, t.File.SyncData) }

// Close implements vfs.File: the file is no table under construction any more.
func (t *tableFile) Close() error {
	t.fs.mu.Lock()
	if t.fs.tables[t.name] == t {
		delete(t.fs.tables, t.name)
	}
	t.fs.mu.Unlock()
	return t.File.Close()
}

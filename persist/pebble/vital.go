package pebble

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// maxUnsynced is how many bytes a vitalFile remembers before it syncs by itself.
const maxUnsynced = 2 << 20

// vitalFile is a file whose writes and syncs do not fail (see patientFS).
//
// A failed fsync cannot simply be repeated: the kernel may have dropped the
// pages it could not write and marked them clean, and the next fsync then
// succeeds without them. So vitalFile remembers what was written since the last
// sync that succeeded, and writes it again before it syncs again.
//
// It is used by one goroutine at a time, as the engine's log writer does.
type vitalFile struct {
	vfs.File
	fs   *patientFS
	role role

	synced   int64  // offset up to which everything is on disk
	unsynced []byte // what was written behind it; nil when nothing was
}

// Write writes all of b, however often it takes. The file's position follows
// what the file system says it has written, so an attempt goes on where the one
// before it ended.
func (v *vitalFile) Write(b []byte) (int, error) {
	if len(v.unsynced) >= maxUnsynced {
		if err := v.SyncData(); err != nil {
			return 0, err
		}
	}
	kept := v.keep(b)
	n := 0
	err := v.fs.do(v.role, func() error {
		m, err := v.File.Write(b[n:])
		n += m
		if err != nil {
			copy(b, kept) // for the next attempt: a file may modify what it is given to write
		}
		return err
	})
	return n, err
}

// keep remembers b and returns the copy.
func (v *vitalFile) keep(b []byte) []byte {
	if v.unsynced == nil {
		v.unsynced = v.fs.takeBuffer()
	}
	v.unsynced = append(v.unsynced, b...)
	return v.unsynced[len(v.unsynced)-len(b):]
}

// Sync is vfs.File's.
func (v *vitalFile) Sync() error { return v.sync(v.File.Sync) }

// SyncData is vfs.File's.
func (v *vitalFile) SyncData() error { return v.sync(v.File.SyncData) }

// SyncTo is vfs.File's. It promises nothing unless it syncs everything, so its
// failure may be ignored: the sync that counts comes later.
func (v *vitalFile) SyncTo(length int64) (bool, error) {
	full, err := v.File.SyncTo(length)
	if err != nil {
		return false, v.sync(v.File.SyncData)
	}
	if full {
		v.forget()
	}
	return full, nil
}

func (v *vitalFile) sync(op func() error) error {
	failed := false
	err := v.fs.do(v.role, func() error {
		if failed && len(v.unsynced) > 0 {
			if _, err := v.File.WriteAt(bytes.Clone(v.unsynced), v.synced); err != nil {
				return err
			}
		}
		err := op()
		failed = err != nil
		return err
	})
	if err == nil {
		v.forget()
	}
	return err
}

// forget drops what has reached the disk.
func (v *vitalFile) forget() {
	if v.unsynced == nil {
		return
	}
	v.synced += int64(len(v.unsynced))
	v.fs.giveBuffer(v.unsynced)
	v.unsynced = nil
}

// Close is vfs.File's. The engine has synced what it wants to keep, so an error
// loses nothing, and it must not see one.
func (v *vitalFile) Close() error {
	err := v.File.Close()
	if err != nil {
		v.fs.health.log.Warn("closing a synced file failed", "err", err)
	}
	v.unsynced = nil
	return nil
}

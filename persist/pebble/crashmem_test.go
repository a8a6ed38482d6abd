package pebble_test

import "github.com/cockroachdb/pebble/v2/vfs"

// crashMem is a file system in memory that knows what was synced, and of which a
// power cut can be cloned. The engine's own takes its lock twice in ReuseForWrite,
// which never ends when a clone is asked for between.
type crashMem struct {
	*vfs.MemFS
}

func newCrashMem() *crashMem { return &crashMem{vfs.NewCrashableMem()} }

// CrashClone is vfs.MemFS's.
func (m *crashMem) CrashClone(c vfs.CrashCloneCfg) *crashMem {
	return &crashMem{m.MemFS.CrashClone(c)}
}

// ReuseForWrite is vfs.FS's.
func (m *crashMem) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := m.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return m.OpenReadWrite(newname, c)
}

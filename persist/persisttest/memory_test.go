package persisttest_test

import (
	"testing"

	"github.com/yserverd/yserverd/persist/persisttest"
)

func TestMemory(t *testing.T) {
	disks := make(map[string]*persisttest.Memory)
	persisttest.Run(t, func(_ testing.TB, name string) persisttest.Store {
		if m := disks[name]; m != nil {
			return m.Reopen()
		}
		disks[name] = persisttest.NewMemory()
		return disks[name]
	})
}

func TestMemoryRooms(t *testing.T) {
	disks := make(map[string]*persisttest.Memory)
	persisttest.RunRooms(t, func(_ testing.TB, name string) persisttest.Store {
		if m := disks[name]; m != nil {
			return m.Reopen()
		}
		disks[name] = persisttest.NewMemory()
		return disks[name]
	})
}

//go:build unix

package costtest

import (
	"syscall"
	"time"
)

// CPU returns the processor time that the process has used so far, its own and the system's for it.
func CPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

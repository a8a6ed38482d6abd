//go:build !unix

package relay_test

import "time"

var started = time.Now()

// cpuTime returns the time that has passed, where the processor's is not known.
func cpuTime() time.Duration { return time.Since(started) }

//go:build !unix

package costtest

import "time"

var started = time.Now()

// CPU returns the time that has passed, where the processor's is not known.
func CPU() time.Duration { return time.Since(started) }

//go:build race

package costtest

// raced tells that the race detector is on.
const raced = true

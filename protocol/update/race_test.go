//go:build race

package update_test

// raceEnabled: under the race detector a sync.Pool forgets at random what it holds, and times mean nothing.
const raceEnabled = true

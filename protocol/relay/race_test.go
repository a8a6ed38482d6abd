//go:build race

package relay_test

// raceEnabled: the race detector makes up allocations and times.
const raceEnabled = true

//go:build race

package ydoc_test

// raceEnabled: the race detector allocates for itself, and times mean nothing.
const raceEnabled = true

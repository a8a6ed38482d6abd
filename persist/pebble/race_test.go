//go:build race

package pebble_test

// raced is whether the race detector watches, which makes everything slower.
const raced = true

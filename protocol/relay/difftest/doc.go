// Package difftest makes hostile frames at random, and holds what package relay does with them against JSON.parse of Node,
// which is what those who get them use.
//
// Invariants:
//
//   - What a [Generator] makes depends on its source of random numbers alone.
//   - Its frames are small and flat: how deep and large ones are refused is for tests of their own.
package difftest

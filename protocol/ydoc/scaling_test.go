package ydoc_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/costtest"
)

// TestEverythingTakesTimeInProportion: twice the input takes about twice the time, at most 2.5 times. Six doublings are
// measured at once, over which what is quadratic takes sixteen times more than is allowed.
func TestEverythingTakesTimeInProportion(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	apply := func(updates [][]byte) func() {
		return func() { load(t, updates) }
	}
	for name, c := range map[string]struct {
		n    int
		make func(n int) func()
	}{
		"random deletes":    {1_500, func(n int) func() { return apply(randomDeletes(n)) }},
		"reverse arrival":   {1_500, func(n int) func() { return apply(reversed(n)) }},
		"many clients":      {500, func(n int) func() { return apply(manyClients(n)) }},
		"many sections":     {500, func(n int) func() { return apply([][]byte{allClients(n)}) }},
		"gaps closed":       {1_500, func(n int) func() { return apply(closingGaps(n)) }},
		"cut by the parked": {1_500, func(n int) func() { return apply(cutByParked(n)) }},
		"parked deletes":    {1_500, func(n int) func() { return apply(parkedDeletes(n)) }},
		"deletes in one":    {3_000, func(n int) func() { return apply([][]byte{manyDeletes(n)}) }},
		"typing":            {3_000, func(n int) func() { return apply(typing(n)) }},
		"slices of a text":  {625, func(n int) func() { return compaction(t, randomDeletes(n)) }},
		"a chain of ids":    {1_500, func(n int) func() { return compaction(t, chain(n)) }},
		"nested types":      {1_500, func(n int) func() { return compaction(t, nested(n)) }},
		"overwritten entry": {1_500, func(n int) func() { return compaction(t, mapUpdates(n, 50, 1)) }},
		"entries":           {750, func(n int) func() { return compaction(t, mapUpdates(n, 50, n/4)) }},
	} {
		t.Run(name, func(t *testing.T) {
			const doublings, most = 6, 1.25 * 1.25 * 1.25 * 1.25 * 1.25 * 1.25
			costtest.InProportion(t, c.n, 1<<doublings, most, c.make)
		})
	}
}

func compaction(t *testing.T, updates [][]byte) func() {
	f := load(t, updates).Freeze()
	return func() {
		_, err := f.Compact()
		require.NoError(t, err)
	}
}

// allClients is one update of n clients.
func allClients(n int) []byte {
	sections := make([]section, n)
	for i := range sections {
		sections[i] = sec(uint64(n-i), 0, gc(1))
	}
	return build(sections)
}

// closingGaps are the even clocks of a client, and then the odd ones in order: each releases one of the former.
func closingGaps(n int) [][]byte {
	updates := make([][]byte, 0, n)
	for i := range uint64(n / 2) {
		updates = append(updates, one(5, 2*i+1, gc(1)))
	}
	for i := range uint64(n / 2) {
		updates = append(updates, one(5, 2*i, gc(1)))
	}
	return updates
}

// cutByParked is one item of n values beyond a gap, of which every second one is parked already, and then a few bytes that
// name as many clocks, again and again.
func cutByParked(n int) [][]byte {
	updates := make([][]byte, 0, 2*n)
	for i := range uint64(n / 2) {
		updates = append(updates, one(5, 2*i+2, gc(1)))
	}
	updates = append(updates, one(5, 1, anys(at{root: "l"}, make([]uint64, n)...)))
	for range n {
		updates = append(updates, one(5, 1, gc(uint64(n))))
	}
	return updates
}

// parkedDeletes delete what comes afterwards, back to front.
func parkedDeletes(n int) [][]byte {
	updates := make([][]byte, 0, n)
	for i := range uint64(n / 2) {
		updates = append(updates, deletes(del{5, uint64(n) - 2*i, 1}))
	}
	for i := range uint64(n / 2) {
		updates = append(updates, one(5, 2*i, gc(2)))
	}
	return updates
}

func manyDeletes(n int) []byte {
	dels := make([]del, n)
	for i := range dels {
		dels[i] = del{5, uint64(2 * i), 1}
	}
	return build([]section{sec(5, 0, gc(uint64(2*n)))}, dels...)
}

// chain is a list whose items alternate between two clients, each behind the one before, back to front in the order of
// resolution.
func chain(n int) [][]byte {
	a, b := make([][]byte, n/2), make([][]byte, n/2)
	for i := range n / 2 {
		if i == 0 {
			a[i] = anys(at{root: "l"}, 1)
		} else {
			a[i] = anys(at{left: id(9, uint64(i-1)), right: id(9, 0)}, 1)
		}
		b[i] = anys(at{left: id(5, uint64(i))}, 1)
	}
	return [][]byte{build([]section{sec(9, 0, b...), sec(5, 0, a...)})}
}

// nested are types within types, of which the outermost is deleted.
func nested(n int) [][]byte {
	structs := [][]byte{array(at{root: "l"})}
	for i := range uint64(n - 1) {
		structs = append(structs, array(at{parent: id(5, i)}))
	}
	return [][]byte{build([]section{sec(5, 0, structs...)}, del{5, 0, 1})}
}

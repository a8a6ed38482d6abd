package update

import (
	"cmp"
	"fmt"
	"slices"
)

// run is a stretch of structs of one client in one input: contiguous, without Skips.
type run struct {
	client, clock, end uint64
	offset             int    // of the first struct in the input
	count              uint32 // structs
	input              uint32
}

// deleteRange is one range of a delete set.
type deleteRange struct {
	client, clock, end uint64
}

// collection is what a number of updates hold, in order: runs by descending client and ascending clock, deletes likewise.
type collection struct {
	inputs  [][]byte
	runs    []run
	deletes []deleteRange

	// How many there were, whether or not there was room.
	runCount, deleteCount int

	canonical bool // all inputs are

	inputs1 [1][]byte // for calls with one input
	vector  []ID      // scratch
}

// anything is for updates that were accepted before, under whatever limits.
var anything = Limits{Nesting: maxInt, Clients: maxInt}

const maxInt = int(^uint(0) >> 1)

// collect checks all inputs and takes down their runs and, if asked to, their deletes. Room is first made for what small
// updates need; only when that is not enough everything is read again with exactly as much as was counted, so that no
// input costs more than a small multiple of its bytes.
func (c *collection) collect(inputs [][]byte, deletes bool) error {
	size := 0
	for _, u := range inputs {
		size += len(u)
	}
	hint := min(len(inputs), size/6) + 16
	c.inputs = inputs
	c.runs = room(c.runs, hint)
	c.deletes = c.deletes[:0]
	if deletes {
		c.deletes = room(c.deletes, hint)
	}
	if err := c.scan(deletes); err != nil {
		return err
	}
	if c.runCount > len(c.runs) || deletes && c.deleteCount > len(c.deletes) {
		c.runs = room(c.runs, c.runCount)
		if deletes {
			c.deletes = room(c.deletes, c.deleteCount)
		}
		if err := c.scan(deletes); err != nil {
			return err
		}
	}
	c.sort()
	return nil
}

// room returns an empty slice with room for n entries, no more if it must be made.
func room[T any](s []T, n int) []T {
	if cap(s) >= n {
		return s[:0]
	}
	return make([]T, 0, n)
}

// scan reads all inputs into the room there is.
func (c *collection) scan(deletes bool) error {
	c.runCount, c.deleteCount, c.canonical = 0, 0, true
	var d Decoder
	for i, u := range c.inputs {
		d.Reset(u, anything)
		if err := c.scanStructs(&d, uint32(i)); err != nil {
			return inputError(i, len(c.inputs), err)
		}
		if !deletes {
			continue
		}
		if err := c.scanDeletes(&d); err != nil {
			return inputError(i, len(c.inputs), err)
		}
		c.canonical = c.canonical && d.Canonical()
	}
	return nil
}

// scanStructs takes down the runs of one input.
func (c *collection) scanStructs(d *Decoder, input uint32) error {
	var s Struct
	var r run
	var section uint64
	for {
		ok, err := d.Next(&s)
		if err != nil {
			return err
		}
		if ok && r.count > 0 && s.Kind != Skip && d.sections == section {
			r.count++
			r.end = s.End()
			continue
		}
		if r.count > 0 {
			c.addRun(r)
			r.count = 0
		}
		if !ok {
			return nil
		}
		if s.Kind != Skip {
			r = run{client: s.Client, clock: s.Clock, end: s.End(), offset: d.r.Pos() - len(s.Raw), count: 1, input: input}
			section = d.sections
		}
	}
}

func (c *collection) addRun(r run) {
	if len(c.runs) < cap(c.runs) {
		c.runs = append(c.runs, r)
	}
	c.runCount++
}

func (c *collection) scanDeletes(d *Decoder) error {
	for {
		client, clock, length, ok, err := d.NextDelete()
		if err != nil || !ok {
			return err
		}
		if len(c.deletes) < cap(c.deletes) {
			c.deletes = append(c.deletes, deleteRange{client, clock, clock + length})
		}
		c.deleteCount++
	}
}

// sort puts runs and deletes in order and joins deletes that overlap or touch (sortAndMergeDeleteSet in Yjs). Of runs that
// begin at the same clock the one of the first input comes first.
func (c *collection) sort() {
	byClient := func(a, b uint64) int { return cmp.Compare(b, a) }
	slices.SortFunc(c.runs, func(a, b run) int {
		if a.client != b.client {
			return byClient(a.client, b.client)
		}
		if a.clock != b.clock {
			return cmp.Compare(a.clock, b.clock)
		}
		return cmp.Or(cmp.Compare(a.input, b.input), cmp.Compare(a.offset, b.offset))
	})
	slices.SortFunc(c.deletes, func(a, b deleteRange) int {
		if a.client != b.client {
			return byClient(a.client, b.client)
		}
		return cmp.Compare(a.clock, b.clock)
	})
	kept := c.deletes[:0]
	for _, r := range c.deletes {
		if n := len(kept); n > 0 && kept[n-1].client == r.client && r.clock <= kept[n-1].end {
			kept[n-1].end = max(kept[n-1].end, r.end)
			continue
		}
		kept = append(kept, r)
	}
	c.deletes = kept
}

// open puts a decoder at the start of a run, as if the run were all that its input holds. Its structs can be read without
// an error.
func (c *collection) open(d *Decoder, r *run) {
	d.Reset(c.inputs[r.input], anything)
	_, _ = d.r.Bytes(uint64(r.offset))
	d.phase = phaseStructs
	d.client, d.clock, d.left = r.client, r.clock, uint64(r.count)
}

// inputError says which of several inputs an error is about.
func inputError(i, n int, err error) error {
	if n == 1 {
		return err
	}
	return fmt.Errorf("update %d of %d: %w", i+1, n, err)
}

package persist

import "time"

// DefaultSweepLimit is how much a Sweep that names no limit looks at.
const DefaultSweepLimit = 1000

// SweepOptions say what is due. A zero time means that nothing of the kind is.
type SweepOptions struct {
	// TombstonesBefore purges the documents that were deleted before it.
	TombstonesBefore time.Time
	// SupersededBefore removes the objects that were superseded before it.
	SupersededBefore time.Time
	// OrphansBefore removes the objects that were written before it and that no
	// row names or remembers. It has to be further back than any call may take.
	OrphansBefore time.Time
	// Limit bounds how many tombstones and objects, of each, one call looks at.
	// Zero means DefaultSweepLimit.
	Limit int
}

// SweepLimit turns the limit that Sweep was given into the one it keeps to.
func SweepLimit(limit int) int {
	if limit <= 0 {
		return DefaultSweepLimit
	}
	return limit
}

// SweepStats is what a Sweep did.
type SweepStats struct {
	Purged     int  // documents
	Superseded int  // objects
	Orphans    int  // objects
	More       bool // the limit ended the call; there may be more to do at once
}

package ydoc

import (
	"math/bits"
	"math/rand/v2"
)

// index finds clients by their ids: an open hash table with linear probing. A map would take up to 40 bytes for each, half
// of what six bytes of an update may cost; this takes 11 to 16. Ids are chosen by peers, so the places depend on a secret.
// The zero value is empty.
type index struct {
	slots  []*client
	n      int
	seed   uint64
	recent *client // what was found last: most updates are of one client
}

// hash mixes an id with the secret, by a multiplication of which both halves count.
func (x *index) hash(id uint64) uint64 {
	hi, lo := bits.Mul64(id^x.seed, 0x9e3779b97f4a7c15)
	hi, lo = bits.Mul64(hi^lo, x.seed|1)
	return hi ^ lo
}

// home returns the place at which the search for an id begins.
func (x *index) home(id uint64) int {
	hi, _ := bits.Mul64(x.hash(id), uint64(len(x.slots)))
	return int(hi)
}

// get returns the client with an id, or nil.
func (x *index) get(id uint64) *client {
	if c := x.recent; c != nil && c.id == id {
		return c
	}
	return x.search(id)
}

func (x *index) search(id uint64) *client {
	if x.n == 0 {
		return nil
	}
	for i := x.home(id); ; {
		c := x.slots[i]
		if c == nil {
			return nil
		}
		if c.id == id {
			x.recent = c
			return c
		}
		if i++; i == len(x.slots) {
			i = 0
		}
	}
}

// reserve makes room for n clients in all, so that at least a quarter stays free.
func (x *index) reserve(n int) {
	size := n + n/3 + 2
	if size <= len(x.slots) {
		return
	}
	if x.slots == nil {
		x.seed = rand.Uint64()
	}
	old := x.slots
	x.slots = make([]*client, size)
	for _, c := range old {
		if c != nil {
			x.put(c)
		}
	}
}

// add puts in a client that is not there.
func (x *index) add(c *client) {
	if x.n++; x.n+x.n/3+2 > len(x.slots) {
		x.reserve(x.n + x.n/2)
	}
	x.put(c)
}

func (x *index) put(c *client) {
	i := x.home(c.id)
	for x.slots[i] != nil {
		if i++; i == len(x.slots) {
			i = 0
		}
	}
	x.slots[i] = c
}

// remove takes out a client that is there. What would not be found any more, because the search for it passes the place,
// moves up.
func (x *index) remove(c *client) {
	x.n--
	x.recent = nil
	i := x.home(c.id)
	for x.slots[i] != c {
		if i++; i == len(x.slots) {
			i = 0
		}
	}
	for j := i; ; {
		x.slots[i] = nil
		for {
			if j++; j == len(x.slots) {
				j = 0
			}
			c := x.slots[j]
			if c == nil {
				return
			}
			// It may move unless its home lies behind the hole, up to where it is.
			if home := x.home(c.id); i <= j && (home <= i || home > j) || i > j && home <= i && home > j {
				x.slots[i] = c
				break
			}
		}
		i = j
	}
}

package ydoc_test

import (
	"fmt"

	"github.com/yserverd/yserverd/protocol/ydoc"
)

// A room keeps the document of its clients: it takes their updates, relays what became new, writes what must be logged, and
// answers the state vectors of those who join.
func Example() {
	d := ydoc.New(ydoc.Config{})

	// Client 7 types "hi", and the frame with "!" arrives first.
	late := one(7, 2, text(at{left: id(7, 1)}, "!"))
	early := one(7, 0, text(at{root: "t"}, "hi"))

	a, err := d.Apply(late)
	fmt.Println("relay:", a.New != nil, "log:", a.Log != nil, "waits:", a.Parked, err)
	a, err = d.Apply(early)
	fmt.Println("relay:", len(a.New), "bytes, to the sender too:", a.Released, err)

	// Somebody joins who has the first two characters.
	diff, err := d.AppendDiff(nil, []byte{1, 7, 2})
	fmt.Printf("answer: % x %v\n", diff, err)

	// Now and then the document is compacted beside the room.
	c, err := d.Freeze().Compact()
	if err != nil {
		panic(err)
	}
	fmt.Println("snapshot:", len(c.Update()), "bytes, adopted:", d.Adopt(c))
	// Output:
	// relay: false log: true waits: true <nil>
	// relay: 13 bytes, to the sender too: true <nil>
	// answer: 01 01 07 02 84 07 01 01 21 00 <nil>
	// snapshot: 13 bytes, adopted: true
}

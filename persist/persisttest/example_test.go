package persisttest_test

import (
	"context"
	"fmt"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
)

// A store whose first append loses its answer: the writer looks before it
// repeats, and the line is stored once.
func Example() {
	ctx := context.Background()
	lost := persisttest.OnCall(persisttest.OpAppend, 1, persisttest.Fault{Err: persisttest.ErrInjected, Done: true})
	store := persisttest.NewFaulty(persisttest.NewMemory(), lost)
	defer store.Close()

	w := persisttest.Writer{Store: store, Key: persist.Key{Party: "main", Room: "notes"}}
	fmt.Println(w.Append(ctx, "hello"), store.Calls(persisttest.OpAppend))

	doc, _ := store.Load(ctx, w.Key)
	fmt.Println(persisttest.Lines(doc), doc.Seq)
	// Output:
	// <nil> 1
	// [hello] 1
}

package persist_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
)

// A writer that meets a conflict reads what it lacks and appends behind it.
func Example() {
	ctx := context.Background()
	store := persisttest.NewMemory()
	defer store.Close()
	key := persist.Key{Party: "main", Room: "notes"}

	appendAfter := func(after persist.Seq, data string) persist.Result {
		results, err := store.Append(ctx, []persist.Append{{Key: key, After: after, Updates: [][]byte{[]byte(data)}}})
		if err != nil {
			return persist.Result{Err: err} // outcome unknown: LoadAfter tells
		}
		return results[0]
	}
	fmt.Println(appendAfter(0, "first").Seq)

	r := appendAfter(0, "second")
	if errors.Is(r.Err, persist.ErrConflict) {
		rows, _ := store.LoadAfter(ctx, key, 0)
		fmt.Printf("conflict, lacking %d: %s\n", rows[0].Seq, rows[0].Data)
		r = appendAfter(rows[0].Seq, "second")
	}
	fmt.Println(r.Seq)
	// Output:
	// 1
	// conflict, lacking 1: first
	// 2
}

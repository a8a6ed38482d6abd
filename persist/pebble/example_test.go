package pebble_test

import (
	"context"
	"fmt"
	"os"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

func Example() {
	dir, err := os.MkdirTemp("", "documents")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	store, err := pebble.Open(dir, pebble.Options{})
	if err != nil {
		panic(err)
	}
	defer store.Close()

	// Two documents in one write: durable, both, when it returns.
	ctx := context.Background()
	notes := persist.Key{Party: "main", Room: "notes"}
	tasks := persist.Key{Party: "main", Room: "tasks"}
	results, err := store.Append(ctx, []persist.Append{
		{Key: notes, Updates: [][]byte{[]byte("h"), []byte("i")}},
		{Key: tasks, Updates: [][]byte{[]byte("1")}},
	})
	fmt.Println(results[0].Seq, results[1].Seq, err)

	// Fold the first document's log.
	fmt.Println(store.Compact(ctx, notes, 0, 2, []byte("hi")))
	doc, err := store.Load(ctx, notes)
	fmt.Printf("%s@%d, %d rows, %v\n", doc.Snapshot.Data, doc.Snapshot.Seq, len(doc.Tail), err)

	page, _, err := store.List(ctx, "main", "", "", 0)
	for _, info := range page {
		fmt.Println(info.Key, info.Seq, info.LogBytes, info.SnapshotBytes)
	}
	fmt.Println(err)
	// Output:
	// 2 1 <nil>
	// <nil>
	// hi@2, 0 rows, <nil>
	// main/notes 2 0 2
	// main/tasks 1 1 0
	// <nil>
}

package postgres_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/postgres"
)

// Example stores two documents in one write and folds the log of one. It runs where there is a database, see TestExample.
func Example() {
	_ = example
	// Output:
}

func example(url string) error {
	ctx := context.Background()
	store, err := postgres.Open(ctx, postgres.Options{URL: url})
	if err != nil {
		return err
	}
	defer store.Close()
	notes := persist.Key{Party: "main", Room: "notes"}
	tasks := persist.Key{Party: "main", Room: "tasks"}
	results, err := store.Append(ctx, []persist.Append{
		{Key: notes, Updates: [][]byte{[]byte("h"), []byte("i")}},
		{Key: tasks, Updates: [][]byte{[]byte("1")}},
	})
	if err != nil {
		return err
	}
	if err := store.Compact(ctx, notes, 0, results[0].Seq, []byte("hi")); err != nil {
		return err
	}
	doc, err := store.Load(ctx, notes)
	if err == nil && string(doc.Snapshot.Data) != "hi" {
		err = fmt.Errorf("loaded %q", doc.Snapshot.Data)
	}
	return err
}

func TestExample(t *testing.T) {
	if err := example(pgtest.Database(t)); err != nil {
		t.Fatal(err)
	}
}

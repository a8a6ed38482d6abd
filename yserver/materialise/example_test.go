package materialise_test

import (
	"context"
	"fmt"

	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/yserver/materialise"
)

func Example() {
	ctx := context.Background()

	// An edit of a state is an update; here the state is empty, so it is a whole state too.
	state, err := materialise.Edit(ctx, update.Empty, materialise.EditOptions{}, func(tx *materialise.Tx) error {
		if err := tx.TextInsert(materialise.At("note"), 0, "hello", materialise.Attributes{"bold": true}); err != nil {
			return err
		}
		return tx.MapSet(materialise.At("meta"), "tags", materialise.New{Kind: materialise.Array, Items: []any{"draft", 7}})
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	doc, err := materialise.Open(ctx, state, materialise.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	all, _ := doc.AllJSON(ctx)
	delta, _ := doc.Delta(ctx, "note")
	fmt.Printf("%s\n%s\n", all, delta)

	// Replace makes the content of one state that of another, as restoring a version does.
	undo, err := materialise.Replace(ctx, state, update.Empty, materialise.EditOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	state, _ = update.Merge(nil, state, undo)
	doc, _ = materialise.Open(ctx, state, materialise.Limits{})
	text, _ := doc.Text(ctx, "note")
	fmt.Printf("%q\n", text)
	// Output:
	// {"meta":{"tags":["draft",7]},"note":"hello"}
	// [{"insert":"hello","attributes":{"bold":true}}]
	// ""
}

package relay_test

import (
	"fmt"

	"github.com/yserverd/yserverd/protocol/relay"
)

// A peer's frame on its way to the others: what it says about its sender is replaced by what the server knows.
func Example() {
	f, err := relay.Parse([]byte(`{"type":"move","from":"somebody else","x":1.50}`), relay.Limits{})
	if err != nil {
		panic(err)
	}
	fmt.Println(f.Kind)
	fmt.Printf("%s\n", f.AppendRelay(nil, relay.Stamp{From: "c1", UserID: "ada"}))
	// Output:
	// relay
	// {"type":"move","x":1.50,"from":"c1","userId":"ada"}
}

func ExampleMergePatch() {
	state := []byte(`{"title":"Board","cards":{"a":1,"b":2}}`)
	state, err := relay.MergePatch(nil, state, []byte(`{"cards":{"a":null,"c":3.0},"open":true}`), 1<<10, 0)
	fmt.Printf("%s %v\n", state, err)
	// Output:
	// {"title":"Board","cards":{"b":2,"c":3.0},"open":true} <nil>
}

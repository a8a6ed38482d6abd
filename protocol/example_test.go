package protocol_test

import (
	"fmt"
	"time"

	"github.com/yserverd/yserverd/protocol"
)

func Example() {
	table := protocol.NewAwareness(protocol.AwarenessConfig{})
	update := protocol.AppendAwarenessUpdate(nil, []protocol.AwarenessEntry{
		{Client: 7, Clock: 1, State: []byte(`{"user":"Ada"}`)},
	})
	frame := protocol.AppendAwareness(nil, update)

	m, err := protocol.Parse(frame)
	if err != nil || m.Type != protocol.MessageAwareness {
		panic("not what was written")
	}
	entries, err := protocol.ParseAwareness(nil, m.Payload, protocol.AwarenessLimits{})
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		if table.Apply(e, time.Now()) == protocol.AwarenessAdded {
			fmt.Printf("%d joined with %s\n", e.Client, e.State)
		}
	}
	for _, e := range table.Remove(nil, 7) {
		fmt.Printf("%d left, clock %d: %s\n", e.Client, e.Clock, e.State)
	}
	// Output:
	// 7 joined with {"user":"Ada"}
	// 7 left, clock 1: null
}

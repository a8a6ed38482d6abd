package update_test

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/yserverd/yserverd/protocol/update"
)

func Example() {
	// Client 5 typed "h" and then "i" into the text "t" (yjs 13.6.33).
	first, _ := hex.DecodeString("0101050004010174016800")
	second, _ := hex.DecodeString("01010501840500016900")

	merged, err := update.Merge(nil, second, first)
	if err != nil {
		panic(err)
	}
	var d update.Decoder
	d.Reset(merged, update.Limits{})
	var s update.Struct
	for {
		ok, err := d.Next(&s)
		if err != nil {
			panic(err)
		}
		if !ok {
			break
		}
		fmt.Printf("client %d, clock %d, %d units: %q\n", s.Client, s.Clock, s.Len, s.Content)
	}
	missing, _ := update.Diff(nil, merged, update.AppendStateVector(nil, []update.ID{{Client: 5, Clock: 1}}))
	fmt.Printf("after the first: %x\n", missing)

	err = update.Validate(merged[:7], update.Limits{})
	fmt.Println(err, errors.Is(err, update.ErrMalformed))
	// Output:
	// client 5, clock 0, 2 units: "\x02hi"
	// after the first: 01010501840500016900
	// update: unexpected end at byte 7 true
}

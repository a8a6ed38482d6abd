package lib0_test

import (
	"fmt"

	"github.com/yserverd/yserverd/protocol/lib0"
)

func Example() {
	b := lib0.AppendVarUint(nil, 300)
	b = lib0.AppendVarString(b, "grüße")
	b, _ = lib0.AppendAny(b, lib0.Object{{Key: "ok", Value: true}})

	r := lib0.NewReader(b)
	n, _ := r.VarUint()
	s, units, _ := r.VarStringUnits()
	v, err := r.Any(8)
	fmt.Println(n, string(s), units, v, err, r.Len())

	_, err = r.VarUint()
	fmt.Println(err)
	// Output:
	// 300 grüße 5 [{ok true}] <nil> 0
	// lib0: unexpected end at byte 16
}

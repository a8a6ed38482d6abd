package difftest_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"github.com/yserverd/yserverd/protocol/relay/difftest"
)

func Example() {
	g := difftest.Generator{Rand: rand.New(rand.NewPCG(1, 2))}
	fmt.Println(json.Valid(g.Frame()), json.Valid(g.Value()))
	// Output: true true
}

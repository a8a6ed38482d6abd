package postgres_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/yserverd/yserverd/internal/pgtest"
)

func TestMain(m *testing.M) {
	// A database takes its time over each of a model's steps. The command line still decides.
	if err := flag.Set("rapid.checks", "20"); err != nil {
		panic(err)
	}
	// The fault proxy's links stay in a write when they are disturbed at the wrong moment.
	const proxy = "github.com/Shopify/toxiproxy/v2"
	goleak.VerifyTestMain(pgtest.Main(m),
		goleak.IgnoreAnyFunction(proxy+"/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction(proxy+".(*ToxicLink).read"),
		goleak.IgnoreAnyFunction(proxy+".(*ToxicLink).write"))
}

package s3_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/yserverd/yserverd/internal/s3test"
)

// TestMain lets the fault proxy off: its links stay in a write when they are disturbed at the wrong moment.
func TestMain(m *testing.M) {
	const proxy = "github.com/Shopify/toxiproxy/v2"
	goleak.VerifyTestMain(s3test.Main(m),
		goleak.IgnoreAnyFunction(proxy+"/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction(proxy+".(*ToxicLink).read"),
		goleak.IgnoreAnyFunction(proxy+".(*ToxicLink).write"))
}

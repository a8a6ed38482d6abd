package e2e_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/s3test"
	"github.com/yserverd/yserverd/internal/servertest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(pgtest.Main(s3test.Main(servertest.Main(m))),
		// A link of toxiproxy that ends while a toxic is taken away leaves these behind.
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"))
}

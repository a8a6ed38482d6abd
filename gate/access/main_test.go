package access_test

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/yserverd/yserverd/internal/pgtest"
)

func TestMain(m *testing.M) {
	checks := "40"
	if os.Getenv("YSERVERD_TEST_LONG") == "1" {
		checks = "1000"
	}
	_ = flag.Set("rapid.checks", checks) // what the command line says comes later, and wins
	goleak.VerifyTestMain(pgtest.Main(m))
}

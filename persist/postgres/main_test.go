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
	goleak.VerifyTestMain(pgtest.Main(m))
}

package e2e_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/s3test"
	"github.com/yserverd/yserverd/internal/servertest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(pgtest.Main(s3test.Main(servertest.Main(m))))
}

package browser_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(servertest.Main(m))) }

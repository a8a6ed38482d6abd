package browser_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/yserverd/yserverd/internal/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servertest.Main(m)) }

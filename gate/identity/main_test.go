package identity_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/yserverd/yserverd/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

package s3test_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/yserverd/yserverd/internal/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(s3test.Main(m)) }

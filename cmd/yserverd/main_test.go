package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/s3test"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(pgtest.Main(s3test.Main(m)), goleak.Cleanup(func(code int) {
		removeBinary()
		exit(code)
	}))
}

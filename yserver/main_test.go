package yserver

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(idleChild) != "" {
		serveIdle()
		return
	}
	goleak.VerifyTestMain(m)
}

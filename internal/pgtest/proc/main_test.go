package proc_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(helperEnv); kind != "" {
		if err := parent(kind); err != nil {
			panic(err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

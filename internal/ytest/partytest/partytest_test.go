package partytest_test

import (
	"testing"

	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/internal/ytest/partytest"
)

// ExampleRun shows the test of a package that has its clients somewhere else.
func ExampleRun() {
	_ = func(t *testing.T) { partytest.Run(t, ytest.StartNodeClients(t)) }
	// Output:
}

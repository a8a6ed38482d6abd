package relay_test

import (
	"testing"

	"github.com/yserverd/yserverd/internal/costtest"
	"github.com/yserverd/yserverd/protocol/relay"
)

// TestEverythingTakesTimeInProportion: 64 times the input takes at most 400 times as long. What is quadratic takes 4096
// times as long.
func TestEverythingTakesTimeInProportion(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for name, family := range hostile {
		t.Run(name, func(t *testing.T) {
			costtest.InProportion(t, 800, 64, 400.0/64, func(n int) func() {
				text := family(n)
				dst := make([]byte, 0, 3*len(text)+200)
				return func() {
					f, err := relay.Parse(text, relay.Limits{Data: 1 << 30})
					if err == nil {
						f.AppendRelay(dst, relay.Stamp{From: "c", HasOffset: true})
					}
					_, _ = relay.MergePatch(dst, text, text, 1<<30, 0)
					_, _ = relay.MergePatch(dst, nil, text, 1<<30, 0)
				}
			})
		})
	}
}

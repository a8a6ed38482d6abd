package materialise_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/yserver/materialise"
)

// scattered is a text of n items that are not next to each other in time.
func scattered(tb testing.TB, n int) []byte {
	return change(tb, update.Empty, func(tx *materialise.Tx) error {
		for i := range n {
			if err := tx.TextInsert(materialise.At("t"), 0, strconv.Itoa(i), nil); err != nil {
				return err
			}
		}
		return nil
	})
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		state := scattered(b, n)
		b.Run("items="+strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(state)))
			for b.Loop() {
				d, err := materialise.Open(b.Context(), state, materialise.Limits{})
				require.NoError(b, err)
				_, err = d.Text(b.Context(), "t")
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkReplace(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		state := scattered(b, n)
		target := change(b, state, func(tx *materialise.Tx) error { return tx.TextInsert(materialise.At("t"), uint64(n), "x", nil) })
		for name, check := range map[string]int64{"": -1, "/checked": 1 << 40} {
			b.Run("items="+strconv.Itoa(n)+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, err := materialise.Replace(b.Context(), state, target, materialise.EditOptions{Limits: materialise.Limits{CheckBytes: check}})
					require.NoError(b, err)
				}
			})
		}
	}
}

package ydoc_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/ydoc"
)

// TestIndexAgainstModel holds the index of clients against a map, while clients come and go, and with ids that differ in
// few bits.
func TestIndexAgainstModel(t *testing.T) {
	r := seeded(t)
	for _, spread := range []uint64{1, 64, 1 << 40} {
		var x ydoc.Index
		model := map[uint64]bool{}
		for range 20_000 {
			id := uint64(r.IntN(500)) * spread
			switch {
			case !model[id] && r.IntN(2) == 0:
				x.Add(id)
				model[id] = true
			case model[id] && r.IntN(2) == 0:
				x.Remove(id)
				delete(model, id)
			}
			other := uint64(r.IntN(500)) * spread
			require.Equal(t, model[other], x.Has(other))
			require.Equal(t, model[id], x.Has(id))
		}
		for i := range uint64(500) {
			require.Equal(t, model[i*spread], x.Has(i*spread))
		}
	}
}

// TestManyNewClientsRefused: an update with a fault behind very many new clients leaves none of them.
func TestManyNewClientsRefused(t *testing.T) {
	d := load(t, manyClients(1000))
	state := append([]byte(nil), d.State()...)
	sections := make([]section, 3000)
	for i := range sections {
		sections[i] = sec(uint64(10_000-i), 0, gc(1))
	}
	sections[2999] = sec(1, 5, []byte{31})
	_, err := d.Apply(build(sections))
	require.ErrorIs(t, err, ydoc.ErrMalformed)
	require.NoError(t, d.Check())
	require.Equal(t, state, d.State())
	_, err = d.Apply(build(sections[:2999]))
	require.NoError(t, err)
	require.NoError(t, d.Check())
	require.Equal(t, 3999, d.Stats().Clients)
}

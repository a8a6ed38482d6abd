package yserver

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestALargeDocumentIsFoldedInProportion(t *testing.T) {
	const size = 100 << 20
	var f fold
	f.init(&Document{SnapshotUpdates: 500, SnapshotBytes: 1 << 20}, 0, 0)
	f.tail(499, 100)
	require.False(t, f.due(1000), "too little")
	f.tail(1, 100)
	require.True(t, f.due(1000), "enough rows for a small document")
	require.False(t, f.due(size), "writing a large one would be out of proportion")
	f.tail(0, size/foldShare)
	require.True(t, f.due(size), "enough bytes for a large one")
	f.init(&Document{SnapshotUpdates: 500, SnapshotBytes: 1 << 20}, 500*foldPatience, 0)
	require.True(t, f.due(size), "too many rows to load")
}

package yserver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Document peers that are sent nothing hear the empty presence frame, others do
// not, and who is sent something does not need it.
func TestKeepalive(t *testing.T) {
	st := newSite(t, socketConfig{walkEvery: time.Hour})
	st.opts.keepalive = true
	var docs []*rawClient
	for range 3 * walkStep / 2 {
		docs = append(docs, st.dialRaw(nil))
	}
	st.opts.keepalive = false
	other := st.dialRaw(nil)

	var scratch []*peer
	walk := func(n int) {
		for range n {
			scratch = st.s.keepAlive(scratch)
		}
	}
	walk(keepaliveAfter - 1)
	require.Zero(t, st.s.stats.keepalives.Load())
	busy := docs[7]
	busy.peer.push(custom([]byte("busy")))
	walk(1)
	require.EqualValues(t, len(docs)-1, st.s.stats.keepalives.Load())
	walk(keepaliveAfter - 1)
	require.EqualValues(t, len(docs), st.s.stats.keepalives.Load(), "only the busy one was due")
	for _, c := range docs {
		if c == busy {
			_, b := c.readFrame()
			require.Equal(t, "busy", string(b))
		}
		op, b := c.readFrame()
		require.Equal(t, opBinary, op)
		require.Equal(t, []byte{1, 1, 0}, b)
	}
	other.peer.push(custom([]byte("x")))
	_, b := other.readFrame()
	require.Equal(t, "x", string(b))

	// A peer that is behind needs none.
	c := docs[0]
	c.peer.push(newFrame(opBinary, kindReply, nil, make([]byte, 16<<20)))
	walk(keepaliveAfter)
	c.peer.push(custom([]byte("end")))
	_, b = c.readFrame()
	require.Len(t, b, 16<<20)
	_, b = c.readFrame()
	require.Equal(t, "end", string(b))
}

func TestKeepaliveRunsByItself(t *testing.T) {
	st := newSite(t, socketConfig{walkEvery: 2 * time.Millisecond})
	st.opts.keepalive = true
	c := st.dialRaw(nil)
	_, b := c.readFrame()
	require.Equal(t, []byte{1, 1, 0}, b)
}

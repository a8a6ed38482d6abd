package yserver

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yserverd/yserverd/protocol/update"
)

func sized(kind frameKind, n int, from ...update.ID) *frame {
	f := newFrame(opBinary, kind, nil, bytes.Repeat([]byte{byte(kind)}, n))
	f.from = from
	return f
}

func id(client, clock uint64) update.ID { return update.ID{Client: client, Clock: clock} }

func TestQueueConflatesOverItsBound(t *testing.T) {
	var q queue
	const bound = 1000
	require.Equal(t, taken, q.offer(sized(kindUpdate, 5000), bound), "what finds nothing waiting is always taken")
	q.written(10) // begun: it no longer counts, nor can it be dropped
	require.Equal(t, taken, q.offer(sized(kindUpdate, 500, id(1, 7), id(3, 1)), bound))
	require.Equal(t, taken, q.offer(sized(kindAwareness, 100), bound))
	require.Equal(t, taken, q.offer(sized(kindReply, 5000), bound), "replies are exempt")
	require.Equal(t, conflated, q.offer(sized(kindUpdate, 500, id(2, 4), id(1, 9)), bound))
	require.Equal(t, folded, q.offer(sized(kindUpdate, 1, id(3, 0)), bound))
	require.Equal(t, folded, q.offer(sized(kindAwareness, 1), bound))
	require.Equal(t, taken, q.offer(sized(kindCustom, 1), bound))
	require.Equal(t, refused, q.offer(keepaliveFrame, bound))
	require.Len(t, q.frames[q.head:], 3, "the begun update, the reply and the custom message")
	require.False(t, q.written(q.bytes))
	require.True(t, q.empty())
	require.Zero(t, q.bytes)
	require.Equal(t, [frameKinds]int64{}, q.waiting)

	lost, awareness := q.take([]update.ID{id(99, 99)})
	require.Equal(t, []update.ID{id(99, 99), id(1, 7), id(2, 4), id(3, 0)}, lost)
	require.True(t, awareness)
	require.Equal(t, taken, q.offer(sized(kindUpdate, 1), bound))
	lost, awareness = q.take(nil)
	require.Empty(t, lost)
	require.False(t, awareness)
}

func TestQueueRefusesTooManyCustomMessages(t *testing.T) {
	var q queue
	const bound = 1000
	require.Equal(t, taken, q.offer(sized(kindReply, 1), bound))
	require.Equal(t, taken, q.offer(sized(kindUpdate, 900), bound))
	require.Equal(t, conflated, q.offer(sized(kindCustom, 300), bound), "updates make room first")
	require.Equal(t, taken, q.offer(sized(kindCustom, 5000), bound), "one may be larger than the bound")
	require.Equal(t, overflown, q.offer(sized(kindCustom, 1), bound))
}

func TestQueueCountsManySmallFrames(t *testing.T) {
	var q queue
	n := 0
	for q.offer(sized(kindCustom, 1), 1<<20) == taken {
		n++
	}
	require.Less(t, n, (1<<20)/frameOverhead+2)
}

func TestControlFramesGoBetween(t *testing.T) {
	var q queue
	one, two := sized(kindCustom, 100), sized(kindCustom, 100)
	q.add(one)
	q.add(two)
	q.written(5)
	ping := newControlFrame(appendFrameHeader(nil, opPing, 0), false)
	pong := func(s string) *frame {
		return newControlFrame(append(appendFrameHeader(nil, opPong, len(s)), s...), false)
	}
	q.addControl(ping)
	q.addControl(pong("first"))
	q.addControl(pong("second, longer"))
	q.addControl(newControlFrame(appendFrameHeader(nil, opPing, 0), false))
	got := bytes.Join(q.peek(nil, 100, 1<<20), nil)
	want := append([]byte(nil), one.head[5:]...)
	want = append(want, ping.head...)
	want = append(want, pong("second, longer").head...)
	want = append(want, two.head...)
	require.Equal(t, want, got)
	require.Equal(t, int64(len(want)), q.bytes)
	q.written(q.bytes)
	require.Equal(t, [frameKinds]int64{}, q.waiting)
}

// Whatever is offered and however it is written: the bytes are those of whole
// frames in order, nothing that must arrive is missing, and the accounts end at
// zero.
func TestQueueKeepsItsAccounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		var out []byte
		var must [][]byte // replies and custom messages, in order
		minimum := map[uint64]uint64{}
		serial := byte(0)
		write := func() {
			pieces := q.peek(nil, rapid.IntRange(1, 5).Draw(t, "pieces"), int64(rapid.IntRange(1, 3000).Draw(t, "size")))
			all := bytes.Join(pieces, nil)
			n := rapid.IntRange(0, len(all)).Draw(t, "n")
			out = append(out, all[:n]...)
			q.written(int64(n))
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "write") {
				write()
				continue
			}
			serial++
			kind := rapid.SampledFrom([]frameKind{kindReply, kindUpdate, kindAwareness, kindCustom}).Draw(t, "kind")
			f := newFrame(opBinary, kind, []byte{byte(kind), serial}, make([]byte, rapid.SampledFrom([]int{0, 10, 700, mergeBelow + 5}).Draw(t, "body")))
			if kind == kindUpdate {
				f.from = []update.ID{id(uint64(rapid.IntRange(0, 3).Draw(t, "client")), uint64(serial))}
			}
			v := q.offer(f, 4000)
			if (kind == kindReply || kind == kindCustom) && v != overflown {
				must = append(must, []byte{byte(kind), serial})
			}
			if v == folded || v == conflated && kind == kindUpdate {
				for _, x := range f.from {
					if old, ok := minimum[x.Client]; !ok || x.Clock < old {
						minimum[x.Client] = x.Clock
					}
				}
			}
			var sum int64
			for _, f := range q.frames[q.head:] {
				sum += f.size()
			}
			require.Equal(t, sum-q.off, q.bytes)
		}
		for !q.empty() {
			write()
		}
		require.Zero(t, q.bytes)
		require.Equal(t, [frameKinds]int64{}, q.waiting)
		lost, _ := q.take(nil)
		for _, x := range lost {
			if low, ok := minimum[x.Client]; ok {
				require.LessOrEqual(t, x.Clock, low)
			}
		}
		require.GreaterOrEqual(t, len(lost), len(minimum))
		var got [][]byte
		for len(out) > 0 {
			n := int(out[1])
			h := 2
			if n == 126 {
				n, h = int(out[2])<<8|int(out[3]), 4
			}
			payload := out[h : h+n]
			if k := frameKind(payload[0]); k == kindReply || k == kindCustom {
				got = append(got, payload[:2])
			}
			out = out[h+n:]
		}
		require.Equal(t, must, got)
	})
}

package yserver

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestFramesOfAllLengthsAreReadable(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, mergeBelow, mergeBelow + 1, 65535, 65536, 1 << 20} {
		body := bytes.Repeat([]byte{7}, n)
		for _, prefix := range [][]byte{nil, {1, 2, 3}} {
			f := newFrame(opBinary, kindReply, prefix, body)
			raw := append(append([]byte(nil), f.head...), f.body...)
			require.Equal(t, int64(len(raw)), f.size())
			require.Equal(t, opBinary, f.op())
			op, got, err := readServerFrame(bufio.NewReader(bytes.NewReader(raw)))
			require.NoError(t, err)
			require.Equal(t, opBinary, op)
			require.True(t, bytes.Equal(append(append([]byte(nil), prefix...), body...), got))
		}
	}
}

func TestSmallFramesDoNotKeepTheirBody(t *testing.T) {
	body := []byte("abc")
	f := newFrame(opText, kindReply, nil, body)
	body[0] = 'x'
	require.Equal(t, "abc", string(f.head[2:]))
	big := make([]byte, mergeBelow+1)
	require.Same(t, &big[0], &newFrame(opText, kindReply, nil, big).body[0])
}

func TestCloseFrames(t *testing.T) {
	parse := func(code int, reason string) (int, string) {
		raw := appendCloseFrame(nil, code, reason)
		op, payload, err := readServerFrame(bufio.NewReader(bytes.NewReader(raw)))
		require.NoError(t, err)
		require.Equal(t, opClose, op)
		require.LessOrEqual(t, len(payload), maxControlPayload)
		code, reason, ok := parseClosePayload(payload)
		require.True(t, ok)
		return code, reason
	}
	for _, tc := range []struct {
		code, want      int
		reason, wantWhy string
	}{
		{1000, 1000, "bye", "bye"},
		{4404, 4404, "", ""},
		{closeNoStatus, closeNoStatus, "dropped", ""},
		{closeAbnormal, closeInternalError, "x", "x"},
		{12, closeInternalError, "x", "x"},
		{1000, 1000, strings.Repeat("a", 200), strings.Repeat("a", 123)},
		{1000, 1000, strings.Repeat("a", 122) + "ü", strings.Repeat("a", 122)},
		{1000, 1000, strings.Repeat("a", 120) + "日本", strings.Repeat("a", 120) + "日"},
		{1000, 1000, "a\xffb", "a\uFFFDb"},
	} {
		code, reason := parse(tc.code, tc.reason)
		require.Equal(t, tc.want, code)
		require.Equal(t, tc.wantWhy, reason)
		require.True(t, utf8.ValidString(reason))
	}
	for _, bad := range [][]byte{{3}, {0, 5}, {0x03, 0xee}, {0x03, 0xe8, 0xff}, {0xff, 0xff}} {
		_, _, ok := parseClosePayload(bad)
		require.False(t, ok, "%x", bad)
	}
}

// A stream of frames is followed rightly wherever the reads fall.
func TestScanFollowsFramesInAnyPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		sizes := rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 5, 125, 126, 300, 65535, 65536, 70000}), 1, 6).Draw(t, "sizes")
		for _, n := range sizes {
			payload := bytes.Repeat([]byte{'p'}, n)
			for first := true; ; first = false {
				op := opBinary
				if !first {
					op = opContinuation
				}
				k := rapid.IntRange(0, len(payload)).Draw(t, "fragment")
				last := rapid.Bool().Draw(t, "last")
				if last {
					k = len(payload)
				}
				stream = append(stream, masked(last, op, payload[:k])...)
				payload = payload[k:]
				if last {
					break
				}
				if rapid.Bool().Draw(t, "ping") {
					stream = append(stream, masked(true, opPing, []byte("ping"))...)
				}
			}
		}
		messages := len(stream)
		stream = append(stream, masked(true, opClose, append([]byte{0x0f, 0xa1}, "why"...))...)
		var f frameScan
		for pos := 0; pos < len(stream); {
			n := min(rapid.IntRange(1, 40000).Draw(t, "piece"), len(stream)-pos)
			k, ok := f.scan(stream[pos:pos+n], 1<<20)
			require.True(t, ok)
			require.Equal(t, n, k)
			pos += n
			if pos == messages {
				require.Zero(t, f.message())
				require.False(t, f.closed)
			}
		}
		require.True(t, f.closed)
		code, reason, ok := parseClosePayload(f.close)
		require.True(t, ok)
		require.Equal(t, 4001, code)
		require.Equal(t, "why", reason)
	})
}

func TestScanStopsAtAMessageThatIsTooLong(t *testing.T) {
	small := masked(true, opText, []byte("fine"))
	var huge [14]byte
	copy(huge[:], []byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	for name, tail := range map[string][]byte{
		"one frame":   masked(true, opBinary, make([]byte, 1001)),
		"fragments":   append(masked(false, opBinary, make([]byte, 600)), masked(true, opContinuation, make([]byte, 401))...),
		"63 bit long": huge[:],
	} {
		stream := append(append([]byte(nil), small...), tail...)
		var f frameScan
		n, ok := f.scan(stream, 1000)
		require.False(t, ok, name)
		require.GreaterOrEqual(t, n, len(small), name)
		require.Less(t, n, len(stream), name)
		var g frameScan
		_, ok = g.scan(stream[:n], 1000)
		require.True(t, ok, name)
	}
	var f frameScan
	_, ok := f.scan(masked(true, opBinary, make([]byte, 1000)), 1000)
	require.True(t, ok)
}

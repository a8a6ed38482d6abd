package yserver_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol"
)

// FuzzRoom lets one client send anything into a room in which another works.
// The input is a series of frames, each a length byte and so many bytes; a
// length over 250 makes the rest a text frame. Whatever it is, the room serves
// the other client, and what it serves is what is stored.
func FuzzRoom(f *testing.F) {
	frame := func(b []byte) []byte { return append([]byte{byte(len(b))}, b...) }
	f.Add(frame(protocol.AppendUpdate(nil, typed(1, 0, "hi"))))
	f.Add(frame(protocol.AppendUpdate(nil, typed(1, 5, "early"))))
	f.Add(append(frame(protocol.AppendSyncStep1(nil, []byte{0})), frame([]byte{102, 1})...))
	f.Add(frame([]byte{1, 6, 1, 7, 1, 2, '{', '}'}))
	f.Add([]byte{255, '_', '_', 'Y', 'P', 'S', ':'})
	f.Add([]byte{3, 0, 2, 200, 5, 0, 9, 9, 9, 9, 0, 1, 2})
	k := start(f, func(_ *serverConfig, p *serverParty) { p.Limits.Document = 1 << 20; p.Limits.Pending = 1 << 16 })
	room := 0
	f.Fuzz(func(t *testing.T, input []byte) {
		room++
		k := k.in(t)
		path := "/parties/main/" + roomName(room)
		good, _ := k.join(path)
		bad, _ := k.join(path + "?_pk=bad")
		go drain(bad)
		for len(input) > 0 {
			n := int(input[0])
			if input = input[1:]; n > 250 {
				if bad.conn.WriteMessage(1, bytes.ToValidUTF8(input, nil)) != nil {
					break
				}
				break
			}
			n = min(n, len(input))
			if bad.conn.WriteMessage(2, input[:n]) != nil {
				break
			}
			input = input[n:]
		}
		const client = 1<<53 - 7 // not one that the other is likely to use
		good.update(typed(client, 0, "good"))
		good.send([]byte{102, 1})
		for {
			if got := good.next(); bytes.Equal(got, []byte{102, 1}) {
				break
			}
		}
		holds(t, k.stored(roomName(room)), client, 4)
		require.Zero(t, k.Srv.Stats().RoomPanics)
		_ = good.conn.Close()
		_ = bad.conn.Close()
	})
}

func drain(w *wire) {
	for range w.in { // until it ends
	}
}

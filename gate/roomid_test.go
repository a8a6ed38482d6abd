package gate_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
)

func TestRoomID(t *testing.T) {
	for _, row := range []struct{ name, raw, want string }{
		{"plain", "room", "room"},
		{"space", "a%20b", "a b"},
		{"plus stays", "a+b", "a+b"},
		{"escaped plus is the same room", "a%2Bb", "a+b"},
		{"escaped slash", "a%2Fb", "a/b"},
		{"rest of a path", "team/notes/1", "team/notes/1"},
		{"lower-case hex", "%c3%bc", "ü"},
		{"once, not twice", "a%2520b", "a%20b"},
		{"escaped percent", "100%25", "100%"},
		{"japanese", "%E6%97%A5%E6%9C%AC", "日本"},
		{"raw bytes", "日本", "日本"},
		{"no normalisation: composed", "%C3%A9", "\u00e9"},
		{"no normalisation: decomposed", "e%CC%81", "e\u0301"},
		{"dots", "%2E%2E", ".."},
		{"question mark and hash", "a%3Fb%23c", "a?b#c"},
		{"longest", strings.Repeat("x", gate.MaxRoomID), strings.Repeat("x", gate.MaxRoomID)},
		{"longest, all escaped", strings.Repeat("%78", gate.MaxRoomID), strings.Repeat("x", gate.MaxRoomID)},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := gate.RoomID(row.raw)
			require.NoError(t, err)
			require.Equal(t, row.want, got)
		})
	}
}

func TestRoomIDRefuses(t *testing.T) {
	for _, row := range []struct{ name, raw, message string }{
		{"empty", "", "the room id is empty"},
		{"cut escape", "a%2", "the room id has an invalid percent escape"},
		{"lone percent", "100%", "the room id has an invalid percent escape"},
		{"no hex", "%zz", "the room id has an invalid percent escape"},
		{"too long", strings.Repeat("x", gate.MaxRoomID+1), "the room id is longer than 1,024 bytes"},
		{"too long in bytes, not in characters", strings.Repeat("ü", gate.MaxRoomID/2+1), "the room id is longer than 1,024 bytes"},
		{"too long escaped", strings.Repeat("%78", gate.MaxRoomID+1), "the room id is longer than 1,024 bytes"},
		{"NUL", "a%00b", "the room id has a control character"},
		{"newline", "a%0Ab", "the room id has a control character"},
		{"tab", "%09", "the room id has a control character"},
		{"delete", "%7F", "the room id has a control character"},
		{"C1", "%C2%85", "the room id has a control character"},
		{"cut UTF-8", "%C3", "the room id is not valid UTF-8"},
		{"overlong slash", "%C0%AF", "the room id is not valid UTF-8"},
		{"surrogate", "%ED%A0%80", "the room id is not valid UTF-8"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := gate.RoomID(row.raw)
			require.Empty(t, got)
			var refusal *gate.Refusal
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, &gate.Refusal{
				Status: 400, Layer: gate.LayerValidation, Code: gate.CodeRoomID, Message: row.message,
			}, refusal)
			require.Equal(t, 4400, refusal.CloseCode())
		})
	}
}

// FuzzRoomID holds that an accepted id is a legal one, that every spelling of it leads back to it, and that the id read
// as a segment again is refused or is what one more decoding gives, so nothing was decoded twice.
func FuzzRoomID(f *testing.F) {
	for _, s := range []string{"room", "a%20b", "a%2Fb", "%C3%BC", "%", "%00", "a%2520b", "", "日本", "%ed%a0%80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		id, err := gate.RoomID(raw)
		if err != nil {
			var refusal *gate.Refusal
			if !errors.As(err, &refusal) || refusal.Status != 400 || id != "" {
				t.Fatalf("RoomID(%q) = %q, %v", raw, id, err)
			}
			return
		}
		if id == "" || len(id) > gate.MaxRoomID || !utf8.ValidString(id) {
			t.Fatalf("RoomID(%q) accepted %q", raw, id)
		}
		for i := range len(id) {
			if id[i] < 0x20 || id[i] == 0x7f {
				t.Fatalf("RoomID(%q) accepted a control character: %q", raw, id)
			}
		}
		if !strings.Contains(raw, "%") && id != raw {
			t.Fatalf("RoomID(%q) changed an unescaped segment to %q", raw, id)
		}
		if again, err := gate.RoomID(url.PathEscape(id)); err != nil || again != id {
			t.Fatalf("the escaped spelling of %q is %q, %v", id, again, err)
		}
	})
}

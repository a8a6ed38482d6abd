package access_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

// What a pattern finds is the whole id, whatever the expression: put together again it is the id, byte for byte.
func FuzzPatternID(f *testing.F) {
	find, err := access.FindInPattern(`(day-note|record|):([A-Za-z0-9_.\-]*|(?s:.*)!)`, "day-note", "record", "")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"record:1", "day-note:2026-01-02", ":x", "record:", "record:1\n", "record:1\nday-note:2", "x\nrecord:1", "records:1", "record:a/b!", "record:\xff!",
		"record:\x00!", "record:é!", "RECORD:1", "record:1:2", strings.Repeat("record:", 200),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, room string) {
		kind, key, ok := find(room)
		if ok && (kind+":"+key != room || key == "" || len(room) > gate.MaxRoomID) {
			t.Errorf("%q is %q of kind %q", room, key, kind)
		}
		if again, _, stillOK := find(room); again != kind || stillOK != ok {
			t.Errorf("%q is decided in two ways", room)
		}
	})
}

// What admits says so in so many words, and a time that is over or nonsense is never taken for none.
func FuzzWebhookAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"access":"read"}`, `{"access":"write","until":1700000000}`, `{"access":"write","until":"2026-01-02T03:04:05Z"}`, `{"access":"write","until":null}`,
		`{"access":"write","until":"0001-01-01T00:00:00Z"}`, `{"access":"write","until":1e400}`, `{"access":"write","until":{}}`, `{"access":["write"]}`,
		`{"ACCESS":"write"}`, `{"access":"write","access":"read"}`, `[]`, `null`, `"write"`, `{"access":"write"} x`, "\xef\xbb\xbf{}", strings.Repeat("[", 20000),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		write, until, err := access.ParseAnswer(text)
		if err != nil {
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber() // any number is one
		var body map[string]any
		if err := decoder.Decode(&body); err != nil {
			t.Fatalf("%q is no object: %v", text, err)
		}
		said := map[any]bool{"read": !write, "write": write}[body["access"]]
		if timed := body["until"] != nil; !said || timed == until.IsZero() {
			t.Errorf("%q admits: write %v until %v", text, write, until)
		}
		if until.After(time.Date(10000, 1, 2, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%q admits until %v", text, until)
		}
	})
}

// What is taken for a value of a type is one, so that the cast cannot fail: a room id never makes an error of a query.
func TestTextsThatAreAcceptedAreValues(t *testing.T) {
	db := newDatabase(t, "")
	types := []string{"text", "varchar", "bpchar", "uuid", "int2", "int4", "int8", "numeric"}
	draw := rapid.OneOf(
		rapid.StringMatching(`[ +-]?[0-9]{0,24}[. ]?[0-9]{0,3}`), rapid.StringMatching(`\{?[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{11,12}\}?`),
		rapid.String(), rapid.StringN(0, 40, 2000), rapid.SampledFrom([]string{"NaN", "Infinity", "1e5", "0x1", "1_000", "32768", "-32768", "2147483648", "9223372036854775808", "٣"}),
	)
	rapid.Check(t, func(t *rapid.T) {
		text := draw.Draw(t, "text")
		for _, typ := range types {
			if !access.Accepts(typ, text) {
				continue
			}
			var null bool
			require.NoError(t, db.QueryRow(t.Context(), "SELECT $1::text::"+typ+" IS NULL", text).Scan(&null), "%s %q", typ, text)
			require.False(t, null)
		}
	})
	for typ, values := range map[string][]string{
		"text": {"x", "'"}, "int2": {"0", "-32768"}, "int8": {"9223372036854775807"}, "numeric": {"1.50", "-0.1"}, "uuid": {"6F1C2C5E-94B5-4A3C-B1CF-C8A1A4D6A0F1"},
	} {
		for _, v := range values {
			require.True(t, access.Accepts(typ, v), "%s %s", typ, v)
		}
	}
}

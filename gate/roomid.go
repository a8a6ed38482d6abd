package gate

import (
	"net/http"
	"net/url"
	"unicode"
	"unicode/utf8"
)

// MaxRoomID is the longest room id, in bytes after decoding.
const MaxRoomID = 1024

// RoomID returns the id of the room that a raw path segment names: the segment percent-decoded exactly once. Pass the
// segment as it stands in the request line (http.Request's URL.EscapedPath, split before any decoding); on a
// y-websocket mount pass the whole rest of the path, slashes included.
//
// The error is a *Refusal with status 400: an escape that is none, an empty id, one longer than MaxRoomID bytes, a
// control character (NUL included) or bytes that are not UTF-8. "+" is a plus, not a space, and nothing is normalised:
// ids that differ in a byte are different rooms.
func RoomID(rawSegment string) (string, error) {
	if len(rawSegment) > 3*MaxRoomID { // longer than the longest id with every byte escaped
		return "", badRoomID("the room id is longer than 1,024 bytes")
	}
	id, err := url.PathUnescape(rawSegment)
	switch {
	case err != nil:
		return "", badRoomID("the room id has an invalid percent escape")
	case id == "":
		return "", badRoomID("the room id is empty")
	case len(id) > MaxRoomID:
		return "", badRoomID("the room id is longer than 1,024 bytes")
	case !utf8.ValidString(id):
		return "", badRoomID("the room id is not valid UTF-8")
	}
	for _, c := range id {
		if unicode.IsControl(c) {
			return "", badRoomID("the room id has a control character")
		}
	}
	return id, nil
}

// badRoomID returns the refusal of a room id. The id itself is not repeated: it may be anything.
func badRoomID(message string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Layer: LayerValidation, Code: CodeRoomID, Message: message}
}

package protocol

import "bytes"

// CustomPrefix begins the text frames that carry custom messages of y-partyserver. Other text frames are to be ignored.
const CustomPrefix = "__YPS:"

// ParseCustom returns the payload of a text frame that is a custom message, borrowed.
func ParseCustom(text []byte) (payload []byte, ok bool) {
	return bytes.CutPrefix(text, []byte(CustomPrefix))
}

// AppendCustom appends the text of a custom message. It must only be sent to peers known to take text: a y-websocket client
// fails on it.
func AppendCustom(dst, payload []byte) []byte {
	return append(append(dst, CustomPrefix...), payload...)
}

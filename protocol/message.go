package protocol

import "github.com/yserverd/yserverd/protocol/lib0"

// MessageType is the first number of a frame.
type MessageType uint64

// The types of message. Any other is to be ignored.
const (
	MessageSync           MessageType = 0
	MessageAwareness      MessageType = 1
	MessageAuth           MessageType = 2
	MessageQueryAwareness MessageType = 3
	MessageSyncStatus     MessageType = 102 // y-sweet's convention: sent back unchanged once all before it is stored
)

// Message is a parsed frame.
type Message struct {
	Type MessageType
	Sync SyncType // for MessageSync
	// Payload borrows the frame. For sync messages it is the state vector or the update, for awareness the awareness update,
	// for everything else all that follows the type.
	Payload []byte
}

// Parse reads a binary frame. It does not look into the payload. Bytes after a sync or awareness message are ignored, as
// y-protocols does, and a type that is not known is no error; a sync message of an unknown type is.
func Parse(frame []byte) (Message, error) {
	r := lib0.NewReader(frame)
	n, err := r.VarUint()
	if err != nil {
		return Message{}, wrap(err, 0)
	}
	m := Message{Type: MessageType(n)}
	switch m.Type {
	case MessageSync:
		at := r.Pos()
		if n, err = r.VarUint(); err != nil {
			return Message{}, wrap(err, 0)
		}
		if m.Sync = SyncType(n); m.Sync > SyncUpdate {
			return Message{}, &Error{Kind: FaultSync, Offset: at}
		}
		m.Payload, err = r.VarBytes()
	case MessageAwareness:
		m.Payload, err = r.VarBytes()
	default:
		m.Payload, err = r.Bytes(uint64(r.Len()))
	}
	if err != nil {
		return Message{}, wrap(err, 0)
	}
	return m, nil
}

// AppendPermissionDenied appends a frame that refuses something for a reason (y-protocols writePermissionDenied).
func AppendPermissionDenied(dst []byte, reason string) []byte {
	return lib0.AppendVarString(append(dst, byte(MessageAuth), 0), reason)
}

// AppendSyncStatus appends a sync status frame with the payload of the one it answers.
func AppendSyncStatus(dst, payload []byte) []byte {
	return append(append(dst, byte(MessageSyncStatus)), payload...)
}

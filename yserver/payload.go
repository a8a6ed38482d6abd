package yserver

// Payload is what one WebSocket message carries: text or bytes. Its Data must
// not be modified once it was given to a room or a connection; what a hook
// receives is the hook's to keep.
type Payload struct {
	Binary bool
	Data   []byte
}

// Text returns the payload of a text message. Text that is not valid UTF-8 ends
// the connections that receive it.
func Text(s string) Payload { return Payload{Data: []byte(s)} }

// Binary returns the payload of a binary message.
func Binary(b []byte) Payload { return Payload{Binary: true, Data: b} }

// String returns the data as a string, whatever its kind.
func (p Payload) String() string { return string(p.Data) }

// frame encodes the payload once, for all connections it is sent to.
func (p Payload) frame() *frame {
	op := opText
	if p.Binary {
		op = opBinary
	}
	return newFrame(op, kindCustom, nil, p.Data)
}

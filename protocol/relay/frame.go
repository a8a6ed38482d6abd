package relay

import "fmt"

// ClientFrame is a text frame of a client. It borrows the text, which must not change while it is in use.
type ClientFrame struct {
	Kind Kind

	// Data is the JSON text of an object. Presence: its data, nil when there is none. State: the patch.
	Data []byte
	// IfVersion is what the version of the state must be for the patch to apply, nil when it does not matter. State only.
	IfVersion *uint64

	// To is the id of the connection that the frame is for, ToTag a tag that the peers it is for have. Relay only. One
	// that the sender wrote with a lone surrogate is no valid UTF-8, and equals no id that is.
	To, ToTag       string
	HasTo, HasToTag bool

	object    []byte // from its opening brace to before its closing one
	empty     bool   // it has no members
	stamped   bool   // it has from or userId of its own
	hasOffset bool   // it has an offset of its own
}

// Parse parses a text frame of a client. An error is of kind [ErrNotObject] when the text is no JSON object, and of kind
// [ErrBadFrame] when it is one that cannot be used: it is nested too deeply; the data of a presence frame is no object or
// too large; a state frame has no object as patch, or an ifVersion that is not written in plain digits; to or toTag of a
// frame to relay is no string, for what is meant for one peer must not reach all.
//
// Members that a kind has no use for may be anything.
func Parse(text []byte, l Limits) (ClientFrame, error) {
	l = l.withDefaults()
	start := skipSpace(text, 0)
	if start == len(text) || text[start] != '{' {
		return ClientFrame{}, fmt.Errorf("%w: it does not begin as one", ErrNotObject)
	}
	if err := check(text, l.Nesting, ErrNotObject); err != nil {
		return ClientFrame{}, err
	}
	var f ClientFrame
	v := f.read(text, start)
	f.Kind = kindOfValue(v[wordType])
	var err error
	switch f.Kind {
	case Presence:
		err = f.readPresence(v[wordData], l.Data)
	case State:
		err = f.readState(v[wordPatch], v[wordIfVersion])
	case Relay:
		err = f.readAddress(v[wordTo], v[wordToTag])
	}
	if err != nil {
		return ClientFrame{}, err
	}
	return f, nil
}

// word is one of the keys that mean something at the top level of a frame.
type word uint8

const (
	wordNone word = iota
	wordType
	wordFrom
	wordUserID
	wordOffset
	wordTo
	wordToTag
	wordData
	wordPatch
	wordIfVersion
	words
)

// wordOf returns the word that the inside of a key stands for.
func wordOf(key []byte) word {
	const longest = len("ifVersion") * len(`\u0000`)
	if len(key) > longest {
		return wordNone
	}
	var buf [longest]byte
	switch string(unquote(buf[:0], key)) {
	case "type":
		return wordType
	case "from":
		return wordFrom
	case "userId":
		return wordUserID
	case "offset":
		return wordOffset
	case "to":
		return wordTo
	case "toTag":
		return wordToTag
	case "data":
		return wordData
	case "patch":
		return wordPatch
	case "ifVersion":
		return wordIfVersion
	}
	return wordNone
}

// read walks over the members of the frame, which begins at start, and returns the last value of each word.
func (f *ClientFrame) read(text []byte, start int) (values [words][]byte) {
	m := members{b: text, i: start + 1}
	f.empty = true
	for {
		key, keyEnd, value, end, ok := m.next()
		if !ok {
			break
		}
		f.empty = false
		values[wordOf(text[key+1:keyEnd-1])] = text[value:end]
		f.object = text[start:end]
	}
	if f.empty {
		f.object = text[start : start+1]
	}
	f.stamped = values[wordFrom] != nil || values[wordUserID] != nil
	f.hasOffset = values[wordOffset] != nil
	return values
}

// kindOfValue returns the kind that a frame has by the value of its type, nil when it has none. An array of nothing but a
// string becomes that string where it is used as a property name or compared loosely, as in handlers[frame.type]: so it
// is no way to write a type of the server either.
func kindOfValue(value []byte) Kind {
	i, arrays := 0, 0
	for i < len(value) && (value[i] == '[' || isSpace(value[i])) {
		if value[i] == '[' {
			arrays++
		}
		i++
	}
	if i == len(value) || value[i] != '"' {
		return Relay
	}
	end := skipString(value, i)
	for _, c := range value[end:] {
		if c != ']' && !isSpace(c) {
			return Relay
		}
	}
	var buf [64]byte
	kind := kindOf(unquote(buf[:0], value[i+1:end-1]))
	if arrays > 0 && kind != Relay {
		return Reserved
	}
	return kind
}

func (f *ClientFrame) readPresence(data []byte, most int) error {
	switch {
	case data == nil:
	case data[0] != '{':
		return fmt.Errorf("%w: data is no object", ErrBadFrame)
	case len(data) > most:
		return fmt.Errorf("%w: data has %d bytes, %d are allowed", ErrBadFrame, len(data), most)
	}
	f.Data = data
	return nil
}

func (f *ClientFrame) readState(patch, ifVersion []byte) error {
	if patch == nil || patch[0] != '{' {
		return fmt.Errorf("%w: there is no object as patch", ErrBadFrame)
	}
	f.Data = patch
	if ifVersion == nil {
		return nil
	}
	version, ok := decimal(ifVersion)
	if !ok {
		return fmt.Errorf("%w: ifVersion is no version", ErrBadFrame)
	}
	f.IfVersion = &version
	return nil
}

func (f *ClientFrame) readAddress(to, toTag []byte) (err error) {
	if f.To, f.HasTo, err = address(to, "to"); err != nil {
		return err
	}
	f.ToTag, f.HasToTag, err = address(toTag, "toTag")
	return err
}

func address(value []byte, name string) (s string, has bool, err error) {
	if value == nil {
		return "", false, nil
	}
	if value[0] != '"' {
		return "", false, fmt.Errorf("%w: %s is no string", ErrBadFrame, name)
	}
	return string(unquote(nil, value[1:len(value)-1])), true, nil
}

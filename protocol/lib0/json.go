package lib0

// CheckJSON reports whether text is one JSON value as JavaScript's JSON.parse accepts it, with at most maxDepth arrays
// and objects inside each other. The text must already be valid UTF-8. What sets it apart from a lenient reading: a byte
// order mark is refused, white space is only space, tab, line feed and carriage return, and escapes of lone surrogates
// are fine. Errors are of kind [ErrJSON] or [ErrDepth]; the offset is that of the first byte that does not fit.
func CheckJSON(text []byte, maxDepth int) error {
	s := jsonScanner{b: text}
	if err := s.value(maxDepth); err != nil {
		return err
	}
	if s.space(); s.pos < len(text) {
		return fail(ErrJSON, s.pos)
	}
	return nil
}

// jsonScanner walks over a text. Whether each open container is an object is kept in one bit, so that depth costs next
// to nothing: the first 512 levels fit in the scanner, further ones spill to the heap.
type jsonScanner struct {
	b     []byte
	pos   int
	depth int
	open  [8]uint64
	spill []uint64
}

// value consumes one value of any depth without recursion.
func (s *jsonScanner) value(maxDepth int) error {
	for {
		s.space()
		if s.pos >= len(s.b) {
			return fail(ErrJSON, s.pos)
		}
		switch c := s.b[s.pos]; c {
		case '{', '[':
			if s.depth >= maxDepth {
				return fail(ErrDepth, s.pos)
			}
			s.pos++
			s.space()
			if s.pos < len(s.b) && s.b[s.pos] == c+2 { // ']' and '}' come two after their openers
				s.pos++
				break
			}
			s.push(c == '{')
			if c == '{' && !s.key() {
				return fail(ErrJSON, s.pos)
			}
			continue
		default:
			if !s.scalar(c) {
				return fail(ErrJSON, s.pos)
			}
		}
		more, ok := s.after()
		if !ok {
			return fail(ErrJSON, s.pos)
		}
		if !more {
			return nil
		}
	}
}

// after consumes what may follow a value: closing brackets, then a comma with the key that belongs to it. It reports
// whether another value follows.
func (s *jsonScanner) after() (more, ok bool) {
	for s.depth > 0 {
		s.space()
		if s.pos >= len(s.b) {
			return false, false
		}
		object := s.top()
		switch c := s.b[s.pos]; {
		case c == ',':
			s.pos++
			return true, !object || s.key()
		case c == '}' && object, c == ']' && !object:
			s.pos++
			s.depth--
		default:
			return false, false
		}
	}
	return false, true
}

// key consumes a member's name and its colon.
func (s *jsonScanner) key() bool {
	s.space()
	if s.pos >= len(s.b) || s.b[s.pos] != '"' || !s.str() {
		return false
	}
	s.space()
	if s.pos >= len(s.b) || s.b[s.pos] != ':' {
		return false
	}
	s.pos++
	return true
}

func (s *jsonScanner) push(object bool) {
	word := s.word(s.depth)
	bit := uint64(1) << (s.depth & 63)
	if object {
		*word |= bit
	} else {
		*word &^= bit
	}
	s.depth++
}

func (s *jsonScanner) top() bool {
	d := s.depth - 1
	return *s.word(d)>>(d&63)&1 == 1
}

// word returns the word that holds the bit of a level.
func (s *jsonScanner) word(level int) *uint64 {
	i := level >> 6
	if i < len(s.open) {
		return &s.open[i]
	}
	i -= len(s.open)
	for i >= len(s.spill) {
		s.spill = append(s.spill, 0)
	}
	return &s.spill[i]
}

func (s *jsonScanner) space() {
	for s.pos < len(s.b) {
		switch s.b[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// scalar consumes the string, number or word that starts with c.
func (s *jsonScanner) scalar(c byte) bool {
	switch c {
	case '"':
		return s.str()
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		return s.number()
	}
}

func (s *jsonScanner) literal(word string) bool {
	if len(s.b)-s.pos < len(word) || string(s.b[s.pos:s.pos+len(word)]) != word {
		return false
	}
	s.pos += len(word)
	return true
}

// str consumes a string; the position is at its opening quote.
func (s *jsonScanner) str() bool {
	b := s.b
	for i := s.pos + 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			s.pos = i + 1
			return true
		case c < 0x20:
			s.pos = i
			return false
		case c == '\\':
			n := escapeLen(b[i+1:])
			if n == 0 {
				s.pos = i
				return false
			}
			i += n
		}
	}
	s.pos = len(b)
	return false
}

// escapeLen returns how many bytes the escape that begins after a backslash has, 0 if it is none.
func escapeLen(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	switch b[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(b) < 5 {
			return 0
		}
		for _, c := range b[1:5] {
			if !isHex(c) {
				return 0
			}
		}
		return 5
	}
	return 0
}

func isHex(c byte) bool {
	return c-'0' < 10 || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// number consumes a number: no sign but minus, no leading zeros, digits on both sides of a point.
func (s *jsonScanner) number() bool {
	i := s.pos
	if i < len(s.b) && s.b[i] == '-' {
		i++
	}
	switch {
	case i < len(s.b) && s.b[i] == '0':
		i++
	default:
		n := digits(s.b[i:])
		if n == 0 {
			return false
		}
		i += n
	}
	if i < len(s.b) && s.b[i] == '.' {
		n := digits(s.b[i+1:])
		if n == 0 {
			return false
		}
		i += 1 + n
	}
	if i < len(s.b) && s.b[i]|0x20 == 'e' {
		i++
		if i < len(s.b) && (s.b[i] == '+' || s.b[i] == '-') {
			i++
		}
		n := digits(s.b[i:])
		if n == 0 {
			return false
		}
		i += n
	}
	s.pos = i
	return true
}

// digits returns how many decimal digits b starts with.
func digits(b []byte) int {
	n := 0
	for n < len(b) && b[n]-'0' < 10 {
		n++
	}
	return n
}

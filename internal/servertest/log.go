package servertest

import (
	"bytes"
	"sync"
)

// log keeps what a process writes, for readers beside it. The zero value is ready.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write never fails.
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns all of it.
func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// tail returns the last n bytes, from the start of a line on where something was left out.
func (l *log) tail(n int) string {
	text := l.String()
	if len(text) <= n {
		return text
	}
	cut := []byte(text[len(text)-n:])
	if _, rest, ok := bytes.Cut(cut, []byte("\n")); ok {
		cut = rest
	}
	return "[...]\n" + string(cut)
}

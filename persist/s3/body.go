package s3

import (
	"bytes"
	"errors"
	"sync"
)

// errPutEnded is what the transport gets that goes on reading.
var errPutEnded = errors.New("the put has ended")

// body is what one try of a put reads. The transport may read it for a while after the answer is there: it is closed then,
// so that the bytes are their owner's again. It cannot be rewound, which keeps the library from using it for another try
// while the last one still reads it.
type body struct {
	mu     sync.Mutex
	reader *bytes.Reader
}

// Read reads until the body is closed.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reader == nil {
		return 0, errPutEnded
	}
	return b.reader.Read(p)
}

// end waits for a read in flight, and lets no other begin.
func (b *body) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reader = nil
}

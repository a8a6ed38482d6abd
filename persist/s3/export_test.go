package s3

import (
	"bytes"
	"context"
	"io"
	"net"
)

// WithDial makes a bucket's connections in another way.
func (o Options) WithDial(dial func(ctx context.Context, network, address string) (net.Conn, error)) Options {
	o.dial = dial
	return o
}

// NewBody returns what a try of a put reads, and what ends it.
func NewBody(data []byte) (r io.Reader, end func()) {
	b := &body{reader: bytes.NewReader(data)}
	return b, b.end
}

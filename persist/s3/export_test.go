package s3

import (
	"context"
	"net"
)

// WithDial makes a bucket's connections in another way.
func (o Options) WithDial(dial func(ctx context.Context, network, address string) (net.Conn, error)) Options {
	o.dial = dial
	return o
}

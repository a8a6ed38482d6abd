package proc

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports for servers lie below those that systems give to outgoing connections: one of these could otherwise sit on a
// server's port while that is down.
const (
	firstPort = 15000
	lastPort  = 32000
)

// FreePort returns a port of the loopback interface on which nobody listens. Somebody else may take it before its user
// does: try again then.
func FreePort() (int, error) {
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		l, err := net.Listen("tcp", Address(port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port found")
}

// Address returns host and port of a port on the loopback interface.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

package yserver

import (
	"bufio"
	"encoding/base64"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// upgradeError is a request that cannot become a WebSocket; nothing was written.
type upgradeError struct {
	Status int // HTTP status
	Reason string
}

func (e *upgradeError) Error() string { return "websocket upgrade: " + e.Reason }

// checkUpgrade returns a *upgradeError unless r is a proper WebSocket handshake
// (RFC 6455, section 4.2.1). The answer to one with status 426 should name the
// version: Sec-WebSocket-Version: 13.
func checkUpgrade(r *http.Request) error {
	switch {
	case !websocket.IsWebSocketUpgrade(r):
		return &upgradeError{http.StatusBadRequest, "not a websocket handshake"}
	case r.Method != http.MethodGet:
		return &upgradeError{http.StatusMethodNotAllowed, "the method is not GET"}
	case strings.TrimSpace(r.Header.Get("Sec-Websocket-Version")) != "13":
		return &upgradeError{http.StatusUpgradeRequired, "only version 13 is spoken"}
	}
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-Websocket-Key"))
	if err != nil || len(key) != 16 {
		return &upgradeError{http.StatusBadRequest, "the key is not 16 bytes of base64"}
	}
	return nil
}

// acceptOptions is what a room wants of a peer.
type acceptOptions struct {
	receiver   receiver
	keepalive  bool        // a document peer: y-websocket's watchdog has to be fed
	queueBytes int64       // 0: as the sockets
	maxMessage int64       // 0: as the sockets, never more
	header     http.Header // added to the 101
}

// hello is what is left of the request until the session begins.
type hello struct {
	request *http.Request
	writer  sessionWriter
}

// accept takes the connection of r, which was admitted, out of net/http. The
// handler may return at once; nothing of the request stays in memory. The peer
// is silent until start, which has to be called whatever happens. On an error
// nothing was written and w can still be used: a *upgradeError is the client's
// fault, [errSocketsClosed] comes during shutdown.
func (s *sockets) accept(w http.ResponseWriter, r *http.Request, o acceptOptions) (*peer, error) {
	if err := checkUpgrade(r); err != nil {
		return nil, err
	}
	p := &peer{s: s, to: o.receiver, keepalive: o.keepalive, remote: strings.Clone(r.RemoteAddr)}
	p.hello = newHello(p, r, o.header)
	p.bound, p.limit = s.cfg.QueueBytes, s.cfg.MaxMessage
	if o.queueBytes > 0 {
		p.bound = o.queueBytes
	}
	if o.maxMessage > 0 {
		p.limit = min(p.limit, o.maxMessage)
	}
	if err := s.reserve(); err != nil {
		return nil, err
	}
	nc, brw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.wg.Done()
		return nil, err
	}
	p.conn.p, p.conn.nc = p, nc
	if n := brw.Reader.Buffered(); n > 0 {
		early, _ := brw.Reader.Peek(n)
		p.conn.early(early)
	}
	p.raw = rawConn(nc)
	_ = nc.SetDeadline(time.Time{})
	s.register(p)
	return p, nil
}

// early puts bytes that came with the handshake before those of the socket.
func (c *conn) early(b []byte) {
	n, ok := c.scan.scan(b, c.p.limit)
	c.ahead = append([]byte(nil), b[:n]...)
	if !ok {
		c.err = errTooLong
	}
}

// rawConn returns how nc is written without waiting, nil if it cannot be. Only
// plain sockets can: what wraps one may do more than it says.
func rawConn(nc net.Conn) syscall.RawConn {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		if tcp, ok := t.NetConn().(*net.TCPConn); ok {
			if raw, err := tcp.SyscallConn(); err == nil {
				tuneSocket(raw)
			}
		}
		return nil
	}
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		if raw, err := nc.(syscall.Conn).SyscallConn(); err == nil && canTry {
			tuneSocket(raw)
			return raw
		}
	}
	return nil
}

// newHello copies what the session needs of the request. The first subprotocol
// that the client offers is chosen: a client that offers some fails without.
func newHello(p *peer, r *http.Request, extra http.Header) *hello {
	header := extra.Clone()
	if offered := websocket.Subprotocols(r); len(offered) > 0 && isToken(offered[0]) {
		if header == nil {
			header = http.Header{}
		}
		header.Set("Sec-Websocket-Protocol", strings.Clone(offered[0]))
	}
	return &hello{
		writer: sessionWriter{conn: &p.conn, header: header},
		request: &http.Request{Method: http.MethodGet, Header: http.Header{
			"Connection":            {"Upgrade"},
			"Upgrade":               {"websocket"},
			"Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key":     {strings.Clone(r.Header.Get("Sec-Websocket-Key"))},
		}},
	}
}

// isToken reports whether s is a token of HTTP (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// sessionWriter is the http.ResponseWriter that melody hijacks: it hands out our
// connection. An error that the upgrader would answer has nowhere to go.
type sessionWriter struct {
	conn   *conn
	header http.Header
}

var _ http.Hijacker = (*sessionWriter)(nil)

func (w *sessionWriter) Header() http.Header         { return w.header }
func (w *sessionWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w *sessionWriter) WriteHeader(int)             {}

// Hijack gives the upgrader the connection, and buffers that it only looks at.
func (w *sessionWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	none := bufio.NewReaderSize(strings.NewReader(""), 16)
	return w.conn, bufio.NewReadWriter(none, bufio.NewWriterSize(w.conn, 512)), nil
}

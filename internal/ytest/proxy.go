package ytest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy forwards TCP connections to a server until it is told to freeze or cut them, as networks do. It is safe for
// concurrent use.
type Proxy struct {
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	links []*link
}

// link is one connection: what comes from one side goes to the other.
type link struct {
	client, server net.Conn

	mu     sync.Mutex
	frozen chan struct{} // nil while it forwards; closed when it is cut
}

// StartProxy listens on the loopback interface and forwards to an address. It ends with the test.
func StartProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{target: target, listener: listener}
	p.wg.Go(p.accept)
	tb.Cleanup(func() {
		_ = listener.Close() // the listener is ours: closing it cannot fail
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// Address is where it listens: host and port.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Freeze has the connections that exist forward nothing more, in neither direction, while both ends believe in them.
func (p *Proxy) Freeze() {
	p.each(func(l *link) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.frozen == nil {
			l.frozen = make(chan struct{})
		}
	})
}

// CutFrozen ends the frozen connections as a network does that is back: both sides get a reset.
func (p *Proxy) CutFrozen() {
	p.each(func(l *link) {
		l.mu.Lock()
		frozen := l.frozen != nil
		l.mu.Unlock()
		if frozen {
			l.cut()
		}
	})
}

// Cut ends all connections that exist, with a reset.
func (p *Proxy) Cut() { p.each((*link).cut) }

func (p *Proxy) each(fn func(*link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		fn(l)
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil { // closed
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close() // the client finds out that nobody is there
			continue
		}
		l := &link{client: client, server: server}
		p.mu.Lock()
		p.links = append(p.links, l)
		p.mu.Unlock()
		p.wg.Go(func() { l.forward(l.server, l.client) })
		p.wg.Go(func() { l.forward(l.client, l.server) })
	}
}

// forward copies until one side ends, which then ends the other too.
func (l *link) forward(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if frozen := l.hold(); frozen != nil {
			<-frozen
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				_ = from.Close() // whoever writes there finds out
				return
			}
		}
		if err != nil {
			if err == io.EOF {
				_ = to.(*net.TCPConn).CloseWrite() // it may be gone already
			} else {
				_ = to.Close() // it may be gone already
			}
			return
		}
	}
}

func (l *link) hold() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.frozen
}

func (l *link) cut() {
	for _, c := range []net.Conn{l.client, l.server} {
		_ = c.(*net.TCPConn).SetLinger(0) // a reset instead of a farewell; it may be closed already
		_ = c.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frozen == nil {
		l.frozen = make(chan struct{})
	}
	select {
	case <-l.frozen:
	default:
		close(l.frozen)
	}
}

package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// appendCall is in the statement with which a server stores updates.
const appendCall = "FROM yserverd.append("

// Messages of PostgreSQL's protocol, version 3, as far as the cutter has to know them.
const (
	frontParse = 'P'
	frontBind  = 'B'
	frontQuery = 'Q'
	frontSync  = 'S'

	backDataRow  = 'D'
	backComplete = 'C'
	backError    = 'E'
	backReady    = 'Z'

	outsideTransaction = 'I' // what backReady says
)

// cutter is a line to PostgreSQL that ends right behind a commit: what was asked to append is committed, and the answer
// that says so is never forwarded. Both ends get a reset.
//
// It understands the protocol just well enough for that. The answers to an append are kept back until the database is
// ready for the next question, which it is once the transaction has ended.
type cutter struct {
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	share   atomic.Int64 // of a hundred appends, how many are cut
	cuts    atomic.Int64 // behind a commit
	appends atomic.Int64 // that were committed

	mu    sync.Mutex
	rng   *rand.Rand
	conns []net.Conn
	done  bool
}

// startCutter listens on the loopback interface. It ends with the test, and cuts nothing before it is told to.
func startCutter(t *testing.T, target string, seed uint64) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{target: target, listener: listener, rng: rand.New(rand.NewPCG(seed, 1))}
	c.wg.Go(c.accept)
	t.Cleanup(func() {
		_ = listener.Close() // it is ours
		c.mu.Lock()
		c.done = true
		for _, conn := range c.conns {
			_ = conn.Close() // it may be closed
		}
		c.mu.Unlock()
		c.wg.Wait()
	})
	return c
}

// address is where it listens.
func (c *cutter) address() string { return c.listener.Addr().String() }

func (c *cutter) accept() {
	for {
		front, err := c.listener.Accept()
		if err != nil {
			return
		}
		back, err := net.Dial("tcp", c.target)
		if err != nil {
			_ = front.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, front, back)
		if c.done {
			_, _ = front.Close(), back.Close()
		}
		c.mu.Unlock()
		k := &cuttable{c: c, front: front, back: back, append: map[string]bool{}}
		c.wg.Go(func() { k.end(k.questions()) })
		c.wg.Go(func() { k.end(k.answers()) })
	}
}

// strikes decides about an append that is committed.
func (c *cutter) strikes() bool {
	c.appends.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.Int64N(100) < c.share.Load()
}

// cuttable is one connection.
type cuttable struct {
	c           *cutter
	front, back net.Conn

	// Of questions alone.
	append map[string]bool // the prepared statements that append, the one without a name included

	mu     sync.Mutex
	groups []*bool // what is asked and not answered, up to a Sync each: whether it appends
}

var errCut = errors.New("cut behind the commit")

// end closes both ends, as a network does that fails.
func (k *cuttable) end(err error) {
	for _, conn := range []net.Conn{k.front, k.back} {
		if err != io.EOF {
			_ = conn.(*net.TCPConn).SetLinger(0) // a reset; it may be closed
		}
		_ = conn.Close()
	}
}

// questions forwards what the server asks, and notes where it appends.
func (k *cuttable) questions() error {
	in := bufio.NewReader(k.front)
	if err := k.startup(in); err != nil {
		return err
	}
	var group *bool
	for {
		kind, body, err := readMessage(in)
		if err != nil {
			return err
		}
		if group == nil {
			group = k.ask()
		}
		switch kind {
		case frontParse: // name, statement
			name, rest, _ := bytes.Cut(body, []byte{0})
			k.append[string(name)] = bytes.Contains(rest, []byte(appendCall))
		case frontBind: // portal, name of the statement
			_, rest, _ := bytes.Cut(body, []byte{0})
			name, _, _ := bytes.Cut(rest, []byte{0})
			if k.append[string(name)] {
				k.mu.Lock()
				*group = true
				k.mu.Unlock()
			}
		case frontSync, frontQuery:
			group = nil
		}
		if err := writeMessage(k.back, kind, body); err != nil {
			return err
		}
	}
}

// startup forwards the first message, which has no kind. Its answers end as those of a question do.
func (k *cuttable) startup(in *bufio.Reader) error {
	length, err := in.Peek(4)
	if err != nil {
		return err
	}
	k.ask()
	_, err = io.CopyN(k.back, in, int64(binary.BigEndian.Uint32(length)))
	return err
}

// ask begins a group of questions.
func (k *cuttable) ask() *bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	group := new(bool)
	k.groups = append(k.groups, group)
	return group
}

// answers forwards what the database says. What it says of an append is forwarded once that is committed, or not at all.
func (k *cuttable) answers() error {
	in := bufio.NewReader(k.back)
	var kept bytes.Buffer
	stored, complete, failed := false, false, false
	for {
		kind, body, err := readMessage(in)
		if err != nil {
			return err
		}
		appends := k.answered(kind == backReady)
		if !appends {
			if err := writeMessage(k.front, kind, body); err != nil {
				return err
			}
			continue
		}
		_ = writeMessage(&kept, kind, body) // a buffer takes everything
		switch kind {
		case backDataRow:
			stored = stored || isStored(body)
		case backComplete:
			complete = true
		case backError:
			failed = true
		case backReady:
			if stored && complete && !failed && body[0] == outsideTransaction && k.c.strikes() {
				k.c.cuts.Add(1)
				return errCut
			}
			if _, err := kept.WriteTo(k.front); err != nil {
				return err
			}
			stored, complete, failed = false, false, false
		}
	}
}

// answered returns whether what is being answered appends; ready says that it is answered by that. What the database says
// unasked belongs to nothing.
func (k *cuttable) answered(ready bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.groups) == 0 {
		return false
	}
	appends := *k.groups[0]
	if ready {
		k.groups = k.groups[1:]
	}
	return appends
}

// isStored reports whether a row of an append's answer says that a document has its updates: its last column, a number in
// binary or as text, is zero.
func isStored(row []byte) bool {
	columns := int(binary.BigEndian.Uint16(row))
	row = row[2:]
	for range columns - 1 {
		n := int32(binary.BigEndian.Uint32(row))
		row = row[4+max(n, 0):]
	}
	verdict := row[4:]
	return len(bytes.Trim(verdict, "\x00")) == 0 || string(verdict) == "0"
}

func readMessage(in *bufio.Reader) (kind byte, body []byte, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(in, head); err != nil {
		return 0, nil, err
	}
	body = make([]byte, int(binary.BigEndian.Uint32(head[1:]))-4)
	_, err = io.ReadFull(in, body)
	return head[0], body, err
}

func writeMessage(out io.Writer, kind byte, body []byte) error {
	message := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
	_, err := out.Write(append(message, body...))
	return err
}

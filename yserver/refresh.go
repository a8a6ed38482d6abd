package yserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/relay"
)

const (
	// maxToken is the longest token that is looked at, in bytes.
	maxToken = 16 << 10
	// refreshEvery and refreshBurst bound the tokens that a connection may try.
	refreshEvery = 10 * time.Second
	refreshBurst = 5
)

// refreshType is the "type" of what asks for a refresh, and of its answer.
const refreshType = "auth:refresh"

// refreshAnswer is what a client is told of its refresh. In a document room it
// is a custom message.
type refreshAnswer struct {
	Type      string     `json:"type"`
	OK        bool       `json:"ok"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"` // nil: never, or it failed
	Code      string     `json:"code,omitempty"`      // of the refusal
	Error     string     `json:"error,omitempty"`
}

// refreshes takes a message that brings a new token, {"type":"auth:refresh",
// "token":"…"}, and reports whether it was one: then it is nobody else's. It is
// called by the reader of the peer, which reads no further until there is an
// answer.
func (m *member) refreshes(text []byte) bool {
	if m.party.Guard == nil || !(bytes.Contains(text, []byte("refresh")) || bytes.IndexByte(text, '\\') >= 0) {
		return false
	}
	f, err := relay.Parse(text, relay.Limits{Nesting: m.party.Limits.Nesting})
	if err != nil || f.Kind != relay.Refresh {
		return false
	}
	m.refresh(text)
	return true
}

// refresh gives the connection a new lease of life, if its token is one of the
// same user in the same organisation. If not, nothing changes.
func (m *member) refresh(text []byte) {
	var request struct {
		Token string `json:"token"`
	}
	var answer refreshAnswer
	switch err := json.Unmarshal(text, &request); {
	case m.refreshedTooOften(time.Now()):
		answer.refused(gate.RefuseRateLimited(refreshEvery))
	case err != nil || request.Token == "" || len(request.Token) > maxToken:
		answer.refused(gate.RefuseInvalid())
	default:
		answer = m.renew(request.Token)
	}
	answer.Type = refreshType
	if !answer.OK {
		m.srv.counters.refreshFailures.Add(1)
	}
	body, _ := json.Marshal(answer) // of such values it never fails
	if m.party.Document != nil {
		body = protocol.AppendCustom(nil, body)
	}
	m.peer.push(newFrame(opText, kindReply, nil, body))
}

func (a *refreshAnswer) refused(r *gate.Refusal) { a.Code, a.Error = r.Code, r.Message }

// renew asks the gate. A token is not logged, whatever becomes of it.
func (m *member) renew(token string) (answer refreshAnswer) {
	was := m.conn.grant.Load()
	ctx, cancel := context.WithTimeout(m.lifetime, askTimeout)
	defer cancel()
	go func() { // the reader must not outlive the peer
		select {
		case <-m.peer.closed():
			cancel()
		case <-ctx.Done():
		}
	}()
	held := gate.Held{Identity: was.Identity, Party: m.entry.id.party, Room: m.entry.id.room, Addr: m.conn.addr}
	d, err := awaitHook(ctx, m.srv, hookGrace, func() (gate.Decision, error) { return m.party.Guard.Refresh(ctx, held, token) })
	if err == nil && !d.Identity.Same(was.Identity) {
		err = gate.RefuseInvalid()
	}
	var refusal *gate.Refusal
	if err != nil && !errors.As(err, &refusal) {
		refusal = gate.RefuseAuthUnavailable()
	}
	if refusal != nil {
		answer.refused(refusal)
		return answer
	}
	is := newGrant(d)
	for !m.regrant(was, is) { // what was decided meanwhile was about the old credential
		was = m.conn.grant.Load()
		defer m.srv.warden.again(m) // but it may know more of the rest
	}
	m.srv.counters.refreshes.Add(1)
	answer.OK = true
	if !is.Until.IsZero() {
		at := is.Until.UTC()
		answer.ExpiresAt = &at
	}
	return answer
}

// refreshedTooOften counts the refreshes of a connection: so many at once, and
// again as time goes by. It is called by the reader alone.
func (m *member) refreshedTooOften(now time.Time) bool {
	at := now.UnixNano()
	forgiven := max(m.refreshed, at)
	if forgiven-at > int64((refreshBurst-1)*refreshEvery) {
		return true
	}
	m.refreshed = forgiven + int64(refreshEvery)
	return false
}

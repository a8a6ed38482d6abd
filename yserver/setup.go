package yserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"unicode/utf16"

	"github.com/yserverd/yserverd/gate"
)

const (
	maxTags      = 10  // of a connection, its id included
	maxTagLength = 256 // in UTF-16 code units, as JavaScript counts
)

// setupFailed is all that a client learns when a hook refuses its connection.
const setupFailed = "Uncaught exception during session setup"

// setupError is a failure of the room type, or of what it made of the
// connection. The client is let in, told, and closed with 1011.
type setupError struct{ err error }

func (e *setupError) Error() string { return e.err.Error() }
func (e *setupError) Unwrap() error { return e.err }

// errIDTaken means that the connection id is that of somebody else.
var errIDTaken = errors.New("connection id is in use")

// prepare does for a connection what comes before its upgrade: the room is awake
// and started, the id is free, and the tags are known.
func (r *room) prepare(ctx context.Context, m *member, req *http.Request, ownID bool) error {
	if r.party.Document != nil {
		if err := r.awake(ctx, func(*documentRoom) {}); err != nil {
			return err
		}
	}
	if ownID {
		if err := checkTag(m.conn.id); err != nil {
			return &setupError{fmt.Errorf("connection id: %w", err)}
		}
		taken := errRoomEnded
		r.do(func() { taken = r.idTaken(m) })
		if taken != nil {
			return taken
		}
	}
	if r.party.New == nil {
		return nil
	}
	err := r.hooks.call(ctx, "ConnectionTags", func(ctx context.Context, value any) error {
		t, ok := value.(ConnectionTagger)
		if !ok {
			return nil
		}
		named, err := t.ConnectionTags(ctx, m.conn, req)
		if err != nil {
			return err
		}
		tags, err := connectionTags(m.conn.id, named)
		m.conn.tags.Store(&tags)
		return err
	})
	if err != nil && !errors.Is(err, errRoomEnded) && ctx.Err() == nil {
		return &setupError{err}
	}
	return err
}

// connectionTags puts the id before the tags that were named.
func connectionTags(id string, named []string) ([]string, error) {
	tags := []string{id}
	for _, tag := range named {
		if tag == id {
			continue
		}
		if err := checkTag(tag); err != nil {
			return nil, fmt.Errorf("tag %q: %w", tag, err)
		}
		tags = append(tags, tag)
	}
	if len(tags) > maxTags {
		return nil, fmt.Errorf("%d tags with the id of the connection, more than %d", len(tags), maxTags)
	}
	return tags, nil
}

func checkTag(tag string) error {
	switch {
	case tag == "":
		return errors.New("is empty")
	case len(tag) > maxTagLength && len(utf16.Encode([]rune(tag))) > maxTagLength:
		return fmt.Errorf("is longer than %d UTF-16 code units", maxTagLength)
	}
	return nil
}

// idTaken reports whether the id of a newcomer is that of a connection of
// somebody else. The same caller may have several, being about to reconnect.
func (r *room) idTaken(m *member) error {
	if other := r.byID.find(m.conn.id, r.members); other != nil && !other.conn.Identity().Same(m.conn.Identity()) {
		return errIDTaken
	}
	return nil
}

// connectHook is the call of OnConnect, whose outcome goes to connected; nil for
// a room without type.
func (r *room) connectHook(m *member, req *http.Request, connected chan<- error) *hookCall {
	if r.party.New == nil {
		connected <- nil
		return nil
	}
	return &hookCall{
		name: "OnConnect",
		fn: func(ctx context.Context, value any) error {
			if h, ok := value.(Connecter); ok {
				if err := h.OnConnect(ctx, m.conn, req); err != nil {
					return err
				}
			}
			m.connected = true
			return nil
		},
		done: func(err error) {
			if err != nil {
				r.post(func() { r.leave(m) }) // no longer one of the room's, and it never was connected
			}
			connected <- err
		},
	}
}

// goodbye takes a member out whose connection has ended, and lets the room type
// know.
func (r *room) goodbye(m *member, c closeInfo) {
	was := !m.gone
	r.leave(m)
	if !was || r.party.New == nil {
		return
	}
	r.events = r.now
	if c.broken() {
		r.hooks.put(hookCall{name: "OnError", fn: func(ctx context.Context, value any) error {
			if h, ok := value.(ErrorHandler); ok && m.connected {
				h.OnError(ctx, m.conn, &CloseError{Code: c.code, Reason: c.reason})
			}
			return nil
		}})
	}
	r.hooks.put(hookCall{name: "OnClose", fn: func(ctx context.Context, value any) error {
		if h, ok := value.(CloseHandler); ok && m.connected {
			return h.OnClose(ctx, m.conn, c.code, c.reason, c.clean)
		}
		return nil
	}})
}

// CloseError is the transport error that OnError receives.
type CloseError struct {
	Code   int
	Reason string
}

// Error implements error.
func (e *CloseError) Error() string { return fmt.Sprintf("connection broken: %d %s", e.Code, e.Reason) }

// broken reports whether a transport error ended the connection.
func (c closeInfo) broken() bool {
	switch c.code {
	case closeProtocolError, closeInvalidPayload, closeTooBig:
		return true
	default:
		return false
	}
}

// refuseSetup answers a connection whose setup failed.
func (s *Server) refuseSetup(w http.ResponseWriter, r *http.Request, rt route, m *member, err error) {
	var setup *setupError
	switch {
	case errors.Is(err, errIDTaken):
		s.refuse(w, r, rt, &gate.Refusal{
			Status: http.StatusConflict, Layer: gate.LayerValidation, Code: "CONNECTION_ID_TAKEN",
			Message: "another caller is connected under this connection id",
		})
	case errors.As(err, &setup):
		p, err := rt.party.sockets.accept(w, r, acceptOptions{receiver: strangers{}, maxMessage: strangersMessage})
		if err != nil {
			unavailable("UPGRADE_FAILED", "the connection cannot be upgraded now", closeRetry).Write(w)
			return
		}
		sayFailed(p, m)
		p.start()
		s.flaps(m)
	default:
		s.refuseLoad(w, r, rt, err)
	}
}

// sayFailed tells a client that a hook refused it, and closes.
func sayFailed(p *peer, m *member) {
	if m.speaksText.Load() {
		p.push(newFrame(opText, kindReply, []byte(`{"error":"`+setupFailed+`"}`), nil))
	}
	p.close(closeInternalError, setupFailed)
}

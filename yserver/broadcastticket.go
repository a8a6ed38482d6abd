package yserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/yserverd/yserverd/gate"
)

// maxTicketBody bounds the body of a request for a ticket.
const maxTicketBody = 8 << 10

// codeBroadcast is the code of a request that makes no sense.
const codeBroadcast = "BROADCAST_INVALID"

// badRequest refuses a request for what is at a path in its body.
func badRequest(path, message string) *gate.Refusal {
	r := &gate.Refusal{Status: http.StatusBadRequest, Layer: gate.LayerValidation, Code: codeBroadcast, Message: message}
	if path != "" {
		r.Details = map[string]any{"path": path}
	}
	return r
}

func tooLarge() *gate.Refusal {
	return &gate.Refusal{
		Status: http.StatusRequestEntityTooLarge, Layer: gate.LayerValidation, Code: "PAYLOAD_TOO_LARGE", Message: "the body is too large",
	}
}

// readBody reads at most so many bytes of a body.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge()
	case err != nil:
		return nil, badRequest("", "the body cannot be read")
	}
	return bytes.TrimSpace(body), nil
}

func refuseMethod(w http.ResponseWriter, allow string) {
	w.Header().Set("Allow", allow)
	plain(w, http.StatusMethodNotAllowed, "Method Not Allowed")
}

// answerJSON answers with a value that is not to be kept by anybody.
func answerJSON(w http.ResponseWriter, status int, v any) {
	body, _ := json.Marshal(v) // of such values it never fails
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}

// serveTicket is POST ws-ticket.
func (b *Broadcaster) serveTicket(w http.ResponseWriter, r *http.Request) {
	origin := b.srv.cfg.Origin
	origin.SetCORS(w.Header(), r)
	switch r.Method {
	case http.MethodOptions:
		w.WriteHeader(http.StatusNoContent)
		return
	case http.MethodPost:
	default:
		refuseMethod(w, "POST, OPTIONS")
		return
	}
	token, expires, err := b.issue(w, r)
	if err != nil {
		asRefusal(err).Write(w)
		return
	}
	answerJSON(w, http.StatusOK, struct {
		Ticket    string `json:"wsTicket"`
		ExpiresIn int    `json:"expiresIn"`
	}{token, int(math.Ceil(max(0, time.Until(expires).Seconds())))})
}

// issue issues the ticket that a request asks for. Its error is a *gate.Refusal,
// or says that it cannot decide.
func (b *Broadcaster) issue(w http.ResponseWriter, r *http.Request) (token string, expires time.Time, err error) {
	if err := b.srv.cfg.Origin.Check(r); err != nil {
		return "", time.Time{}, err
	}
	d, err := b.cfg.Guard.Admit(r.Context(), &gate.Request{HTTP: r})
	id := d.Identity
	switch {
	case err != nil:
		return "", time.Time{}, err
	case !id.Authenticated():
		return "", time.Time{}, gate.RefuseMissing()
	case id.Method == gate.MethodTicket:
		return "", time.Time{}, gate.RefuseInvalid() // a ticket makes no tickets
	}
	body, err := readBody(w, r, maxTicketBody)
	if err != nil {
		return "", time.Time{}, err
	}
	ask, refusal := parseTicketRequest(body)
	if refusal != nil {
		return "", time.Time{}, refusal
	}
	t := BroadcastTicket{Party: ask.Party, Room: ask.Room}
	switch {
	case ask.Party != "" && b.srv.router.parties[ask.Party] == nil:
		return "", time.Time{}, badRequest("party", "there is no such party")
	case ask.Party != "":
	case ask.Resource != "":
		if b.cfg.Resource == nil {
			return "", time.Time{}, badRequest("resource", "there is no such resource")
		}
		if err := b.cfg.Resource(r.Context(), id, ask.Resource, ask.ID); err != nil {
			return "", time.Time{}, err
		}
		t.ScopeKey = ask.Resource + ":" + ask.ID
	case ask.Scope == "user":
		t.ScopeKey = userScope
	case id.OrgID == "":
		return "", time.Time{}, refuseNoOrg()
	}
	return b.cfg.Tickets.IssueTicket(r.Context(), id, t)
}

// ticketRequest is the body of a request for a ticket: at most one of a scope, a
// resource with its id, and a party with its room.
type ticketRequest struct {
	Scope    string `json:"scope"`
	Resource string `json:"resource"`
	ID       string `json:"id"`
	Party    string `json:"party"`
	Room     string `json:"room"`
}

func parseTicketRequest(body []byte) (ask ticketRequest, refusal *gate.Refusal) {
	if len(body) == 0 {
		return ask, nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&ask); err != nil || body[0] != '{' || d.More() {
		path := ""
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			path = wrong.Field
		}
		return ask, badRequest(path, `the body is an object with "scope", with "resource" and "id", or with "party" and "room"`)
	}
	kinds := 0
	for _, s := range []string{ask.Scope, ask.Resource + ask.ID, ask.Party + ask.Room} {
		if s != "" {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		return ask, badRequest("scope", "a ticket is for a scope, for a resource, or for a room")
	case ask.Scope != "" && ask.Scope != "user" && ask.Scope != "org" && ask.Scope != "organization":
		return ask, badRequest("scope", "the scope is user, or absent for the organisation")
	case ask.Resource == "" != (ask.ID == ""), len(ask.Resource)+len(ask.ID) > gate.MaxRoomID:
		return ask, badRequest("id", "a resource has a name and an id")
	case strings.Contains(ask.Resource, ":"):
		return ask, badRequest("resource", "there is no such resource")
	case ask.Party == "" != (ask.Room == ""), len(ask.Room) > gate.MaxRoomID:
		return ask, badRequest("room", "a room has a party and a name")
	}
	return ask, nil
}

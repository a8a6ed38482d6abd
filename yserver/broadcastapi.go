package yserver

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/yserver/masking"
)

const (
	// internalSecret is the header with the token of the internal API.
	internalSecret = "X-Internal-Secret"
	// maxBatch is the most messages of one request.
	maxBatch = 100
)

// serveAPI is POST api/broadcast. All messages of a request are looked at before
// the first is sent.
func (b *Broadcaster) serveAPI(w http.ResponseWriter, r *http.Request) {
	if b.cfg.InternalToken == "" {
		plain(w, http.StatusNotFound, "Not Found")
		return
	}
	if r.Method != http.MethodPost {
		refuseMethod(w, "POST")
		return
	}
	messages, err := b.readMessages(w, r)
	if err != nil {
		b.counters.badRequest.Add(1)
		asRefusal(err).Write(w)
		return
	}
	delivered := 0
	for _, m := range messages {
		delivered += b.deliver(m)
	}
	answerJSON(w, http.StatusAccepted, struct {
		OK        bool `json:"ok"`
		Delivered int  `json:"delivered"`
	}{true, delivered})
}

// readMessages reads the messages of a request. Its error is a *gate.Refusal.
func (b *Broadcaster) readMessages(w http.ResponseWriter, r *http.Request) ([]*publication, error) {
	if err := b.srv.cfg.Origin.Check(r); err != nil {
		return nil, err
	}
	given := r.Header.Values(internalSecret)
	switch {
	case len(given) == 0:
		return nil, gate.RefuseMissing()
	case len(given) > 1 || !sameSecret(given[0], b.cfg.InternalToken):
		return nil, gate.RefuseInvalid()
	case r.ContentLength > b.cfg.MaxPayload:
		return nil, tooLarge()
	}
	body, err := readBody(w, r, b.cfg.MaxPayload)
	if err != nil {
		return nil, err
	}
	orgs := r.URL.Query()["organizationId"]
	if len(orgs) > 1 || len(orgs) == 1 && orgs[0] == "" {
		return nil, badRequest("organizationId", "the query names one organisation, or none")
	}
	if !utf8.Valid(body) {
		return nil, badRequest("", "the body is not UTF-8")
	}
	var org string
	if len(orgs) == 1 {
		org = orgs[0]
	}
	return b.parseMessages(body, org)
}

// sameSecret compares digests, so that the time it takes says nothing.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// parseMessages reads one message, or up to a hundred.
func (b *Broadcaster) parseMessages(body []byte, org string) ([]*publication, error) {
	fields, err := objectOf(body)
	if err != nil {
		return nil, badRequest("", "the body is no JSON object")
	}
	raw, batch := fields["messages"]
	if !batch {
		m, err := b.parseMessage(fields, "", org)
		return []*publication{m}, err
	}
	delete(fields, "messages")
	for _, name := range sortedKeys(fields) {
		return nil, badRequest(name, "not known beside messages")
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 || len(list) > maxBatch {
		return nil, badRequest("messages", "messages is a list of 1 to 100 messages")
	}
	messages := make([]*publication, len(list))
	for i, raw := range list {
		path := "messages[" + strconv.Itoa(i) + "]"
		fields, err := objectOf(raw)
		if err != nil {
			return nil, badRequest(path, "a message is an object")
		}
		if messages[i], err = b.parseMessage(fields, path+".", org); err != nil {
			return nil, err
		}
	}
	return messages, nil
}

// parsed is a message as it is read.
type parsed struct {
	kind, event, table, schema, eventType string
	payload                               json.RawMessage
	new, old                              []masking.Field
	target                                Target
}

// parseMessage reads a message. What it does not know is an error, lest a target
// that is misspelt is no target. Its error is a *gate.Refusal.
func (b *Broadcaster) parseMessage(fields map[string]json.RawMessage, path, org string) (*publication, error) {
	p := parsed{schema: "public", payload: json.RawMessage("null")}
	if err := p.text(&p.kind, fields["type"]); err != nil || p.kind != "broadcast" && p.kind != "postgres_changes" {
		return nil, badRequest(path+"type", "the type is broadcast or postgres_changes")
	}
	for _, name := range sortedKeys(fields) {
		if err := p.read(name, fields[name]); err != nil {
			return nil, badRequest(path+name, err.Error())
		}
	}
	switch {
	case org == "":
	case p.target.OrgID != "" && p.target.OrgID != org:
		return nil, badRequest(path+"organizationId", "the query names another organisation")
	default:
		p.target.OrgID = org
	}
	m, err := p.publication(b)
	var wrong *fieldError
	switch {
	case errors.As(err, &wrong):
		return nil, badRequest(path+wrong.field, wrong.err.Error())
	case err != nil:
		return nil, badRequest(path+"type", err.Error())
	}
	return m, nil
}

var changeOps = map[string]ChangeOp{"INSERT": ChangeInsert, "UPDATE": ChangeUpdate, "DELETE": ChangeDelete}

func (p *parsed) publication(b *Broadcaster) (*publication, error) {
	if p.kind == "broadcast" {
		return b.event(p.target, p.event, p.payload)
	}
	op := changeOps[p.eventType]
	if op == 0 {
		return nil, &fieldError{"eventType", errors.New("the event type is INSERT, UPDATE or DELETE")}
	}
	return b.posted(p.target, tableName{p.schema, p.table}, op, p.new, p.old)
}

// read reads a field of the message.
func (p *parsed) read(name string, raw json.RawMessage) (err error) {
	t, change := &p.target, p.kind == "postgres_changes"
	switch {
	case name == "type":
		return nil
	case name == "organizationId":
		return p.text(&t.OrgID, raw)
	case name == "userId":
		return p.text(&t.UserID, raw)
	case name == "scopeKey":
		return p.text(&t.ScopeKey, raw)
	case name == "party":
		return p.text(&t.Party, raw)
	case name == "room":
		return p.text(&t.Room, raw)
	case name == "roles":
		if json.Unmarshal(raw, &t.Roles) != nil || t.Roles == nil || slices.Contains(t.Roles, "") {
			return errors.New("roles is a list of names")
		}
		return nil
	case name == "event" && !change:
		return p.text(&p.event, raw)
	case name == "payload" && !change:
		p.payload = raw
		return nil
	case name == "table" && change:
		return p.text(&p.table, raw)
	case name == "schema" && change:
		return p.text(&p.schema, raw)
	case name == "eventType" && change:
		return p.text(&p.eventType, raw)
	case name == "new" && change:
		p.new, err = parseFields(raw)
		return err
	case name == "old" && change:
		p.old, err = parseFields(raw)
		return err
	}
	return fmt.Errorf("a message of type %s has no such field", p.kind)
}

// text reads a string. What is there and empty, or null, is an error: a target
// that somebody forgot must not become a wider one.
func (p *parsed) text(s *string, raw json.RawMessage) error {
	if json.Unmarshal(raw, s) != nil || *s == "" || raw[0] != '"' {
		return errors.New("a text that is not empty is expected")
	}
	return nil
}

// objectOf reads the fields of a JSON object. The same one twice is an error:
// which counts is not for us to choose.
func objectOf(raw []byte) (map[string]json.RawMessage, error) {
	list, err := parseFields(raw)
	if err == nil && list == nil {
		err = errNoObject
	}
	fields := make(map[string]json.RawMessage, len(list))
	for _, f := range list {
		fields[f.Name] = f.JSON
	}
	return fields, err
}

var errNoObject = errors.New("a JSON object is expected")

// parseFields reads the fields of a JSON object in their order; null has none.
func parseFields(raw []byte) ([]masking.Field, error) {
	raw = bytes.TrimSpace(raw)
	if string(raw) == "null" {
		return nil, nil
	}
	if len(raw) == 0 || raw[0] != '{' || !json.Valid(raw) {
		return nil, errNoObject
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	_, _ = d.Token() // the brace; it is valid
	fields := []masking.Field{}
	seen := map[string]bool{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errNoObject
		}
		f := masking.Field{Name: name.(string)}
		if err := d.Decode((*json.RawMessage)(&f.JSON)); err != nil {
			return nil, errNoObject
		}
		if seen[f.Name] {
			return nil, fmt.Errorf("%q is there twice", f.Name)
		}
		seen[f.Name] = true
		fields = append(fields, f)
	}
	return fields, nil
}

func sortedKeys(m map[string]json.RawMessage) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

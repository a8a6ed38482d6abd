package access

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/yserverd/yserverd/gate"
)

const (
	// SignatureHeader carries t=<unix seconds>,v1=<hex>: the HMAC-SHA256, under the webhook's secret, of the seconds, a
	// dot and the body.
	SignatureHeader = "X-Yserverd-Signature"

	webhookTimeout  = 3 * time.Second
	webhookResponse = 64 << 10 // of body, and of headers where the client is ours
	webhookSecret   = 32
)

// webhook asks an HTTP endpoint. Callers without identity are refused without asking: nobody without a credential makes
// the server send requests.
type webhook struct {
	access  *Access
	write   writeRule
	url     string
	secret  []byte
	timeout time.Duration
}

func newWebhook(a *Access, write writeRule, w *Webhook) *webhook {
	h := &webhook{access: a, write: write, url: w.URL, secret: w.Secret, timeout: w.Timeout}
	if h.timeout == 0 {
		h.timeout = webhookTimeout
	}
	return h
}

// webhookClient returns a client that follows no redirect, with the transport of another.
func webhookClient(c *http.Client) *http.Client {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if c != nil && c.Transport != nil {
		client.Transport = c.Transport
	} else if t, ok := http.DefaultTransport.(*http.Transport); ok && c == nil {
		t = t.Clone()
		t.MaxResponseHeaderBytes = webhookResponse
		client.Transport = t
	}
	return client
}

// webhookQuestion is the body of a request.
type webhookQuestion struct {
	Identity webhookIdentity `json:"identity"`
	Party    string          `json:"party"`
	Room     string          `json:"room"`
}

// webhookIdentity is what an endpoint is told of a caller: no credential, and nothing that finds one.
type webhookIdentity struct {
	UserID       string      `json:"userId"`
	Name         string      `json:"name,omitempty"`
	UserRole     string      `json:"userRole,omitempty"`
	ActiveOrgID  string      `json:"activeOrgId,omitempty"`
	ActiveTeamID string      `json:"activeTeamId,omitempty"`
	Roles        []string    `json:"roles"`
	Method       gate.Method `json:"method,omitempty"`
	ExpiresAt    *time.Time  `json:"expiresAt,omitempty"`
}

// Anonymous is false.
func (*webhook) Anonymous() bool { return false }

// Authorize asks. An answer of 200 admits as its body says, 4xx refuses, and everything else, like no answer in time,
// means that nothing is known.
func (h *webhook) Authorize(ctx context.Context, id gate.Identity, r *gate.Request) (gate.Decision, error) {
	if !id.Authenticated() {
		return gate.Decision{}, gate.RefuseMissing()
	}
	if !utf8.ValidString(r.Room) { // JSON would turn it into another
		return gate.Decision{}, gate.RefuseRoomID()
	}
	answer, err := h.ask(ctx, &id, r)
	var refusal *gate.Refusal
	switch {
	case errors.As(err, &refusal):
		return gate.Decision{}, refusal
	case err != nil:
		return gate.Decision{}, h.access.unavailable(fmt.Errorf("webhook: %w", err))
	case !answer.until.IsZero() && !h.access.clock().Before(answer.until):
		return gate.Decision{}, gate.RefuseDenied()
	}
	d := h.write.decide(&id, answer.write)
	d.Until = answer.until
	return d, nil
}

// ask makes one request. A *gate.Refusal is the endpoint's.
func (h *webhook) ask(ctx context.Context, id *gate.Identity, r *gate.Request) (webhookAnswer, error) {
	body, err := json.Marshal(question(id, r))
	if err != nil {
		return webhookAnswer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return webhookAnswer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "yserverd")
	req.Header.Set(SignatureHeader, sign(h.secret, body, h.access.clock()))
	resp, err := h.access.http.Do(req)
	if err != nil {
		return webhookAnswer{}, withoutURL(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read as far as it counts
	text, err := io.ReadAll(io.LimitReader(resp.Body, webhookResponse+1))
	switch {
	case resp.StatusCode >= 400 && resp.StatusCode < 500:
		return webhookAnswer{}, gate.RefuseDenied()
	case resp.StatusCode != http.StatusOK:
		return webhookAnswer{}, fmt.Errorf("answered %d", resp.StatusCode)
	case err != nil:
		return webhookAnswer{}, err
	case len(text) > webhookResponse:
		return webhookAnswer{}, errors.New("the answer is too long")
	}
	return parseAnswer(text)
}

// withoutURL drops the URL of an error: it may have a credential in its query.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func question(id *gate.Identity, r *gate.Request) webhookQuestion {
	q := webhookQuestion{Party: r.Party, Room: r.Room, Identity: webhookIdentity{
		UserID: id.UserID, Name: id.Name, UserRole: id.UserRole, ActiveOrgID: id.OrgID, ActiveTeamID: id.TeamID,
		Roles: append([]string{}, id.Roles...), Method: id.Method,
	}}
	if !id.ExpiresAt.IsZero() {
		at := id.ExpiresAt.UTC()
		q.Identity.ExpiresAt = &at
	}
	return q
}

// webhookAnswer is what an endpoint has said.
type webhookAnswer struct {
	write bool
	until time.Time // zero: as long as the identity
}

// parseAnswer reads {"access":"read"|"write","until"?}, until being RFC 3339 or Unix seconds. Other members are ignored;
// everything that is not understood is an error, which admits nobody.
func parseAnswer(text []byte) (webhookAnswer, error) {
	var body map[string]json.RawMessage // a struct would take ACCESS for access
	if err := json.Unmarshal(text, &body); err != nil {
		return webhookAnswer{}, fmt.Errorf("read the answer: %w", err)
	}
	var a webhookAnswer
	switch string(body["access"]) {
	case `"read"`:
	case `"write"`:
		a.write = true
	default:
		return webhookAnswer{}, errors.New(`the answer's access is neither "read" nor "write"`)
	}
	var err error
	a.until, err = parseUntil(body["until"])
	return a, err
}

// maxUnix is the last second of the year 9999: what is later is no number of seconds.
const maxUnix = 253402300799

func parseUntil(raw json.RawMessage) (time.Time, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return time.Time{}, nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		t, err := time.Parse(time.RFC3339, text)
		if err == nil && t.IsZero() {
			t = time.Unix(0, 0) // a time that was, not none
		}
		return t, err
	}
	seconds, err := strconv.ParseInt(string(raw), 10, 64)
	if err == nil && (seconds < 0 || seconds > maxUnix) {
		err = errors.New("until is no time in seconds")
	}
	return time.Unix(seconds, 0), err
}

// sign returns the value of SignatureHeader.
func sign(secret, body []byte, now time.Time) string {
	t := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte(t + "."))
	_, _ = mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

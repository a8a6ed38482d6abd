package yserver

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

const (
	// SignatureHeader carries t=<unix seconds>,v1=<hex>: the HMAC-SHA256, under
	// the webhook's secret, of the seconds, a dot and the body.
	SignatureHeader = "X-Yserverd-Signature"
	// DeliveryHeader names what a delivery is about: the same for every try.
	DeliveryHeader = "X-Yserverd-Delivery"

	webhookTimeout  = 10 * time.Second
	webhookBody     = 1 << 20
	webhookResponse = 64 << 10
)

// WebhookEvent names what a webhook is told.
type WebhookEvent string

// WebhookSave is sent when a document has changed: some time after the change, as
// [CallbackOptions] say, when the last connection left, and at shutdown.
const WebhookSave WebhookEvent = "save"

// Webhook is told of a party's documents by signed POST requests. They come at
// least once, for one document in order; a newer state takes the place of one
// that could not be delivered. That there is something to deliver is stored, so
// that it survives a crash.
type Webhook struct {
	// URL receives the requests. Redirects are not followed.
	URL string
	// Secret signs them: see [SignatureHeader]. At least 32 bytes.
	Secret string
	// Events are what is sent. Nil means all.
	Events []WebhookEvent
	// MaxBody bounds the state that is sent along; a larger one is left out. Zero
	// means 1 MiB, negative sends none.
	MaxBody int64
	// Timeout bounds one request. Zero means 10 s.
	Timeout time.Duration
	// Transport makes the requests. Nil means http.DefaultTransport.
	Transport http.RoundTripper
}

// webhookPayload is the body of a request.
type webhookPayload struct {
	Event   WebhookEvent `json:"event"`
	Party   string       `json:"party"`
	Room    string       `json:"room"`
	Epoch   uint64       `json:"epoch"`
	Seq     uint64       `json:"seq"`
	SHA256  string       `json:"sha256"` // of the state
	Bytes   int          `json:"bytes"`  // of the state
	Content string       `json:"content,omitempty"`
}

func (w Webhook) withDefaults() Webhook {
	setDefault(&w.MaxBody, webhookBody)
	setDefault(&w.Timeout, webhookTimeout)
	if w.Transport == nil {
		w.Transport = http.DefaultTransport
	}
	return w
}

func (w Webhook) validate() error {
	u, err := url.Parse(w.URL)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return errors.New("webhook: URL: want an absolute http or https URL")
	case len(w.Secret) < 32:
		return fmt.Errorf("webhook: secret of %d bytes: want at least 32", len(w.Secret))
	}
	for _, e := range w.Events {
		if e != WebhookSave {
			return fmt.Errorf("webhook: unknown event %q", e)
		}
	}
	return nil
}

// wants reports whether an event is sent.
func (w *Webhook) wants(e WebhookEvent) bool {
	return w != nil && (w.Events == nil || slices.Contains(w.Events, e))
}

// save tells of a state of a document.
func (w *Webhook) save(ctx context.Context, room *Room, s Save) error {
	sum := sha256.Sum256(s.State)
	p := webhookPayload{
		Event: WebhookSave, Party: room.Party(), Room: room.Name(), Epoch: s.Epoch, Seq: s.Seq,
		SHA256: hex.EncodeToString(sum[:]), Bytes: len(s.State),
	}
	if int64(len(s.State)) <= w.MaxBody {
		p.Content = base64.StdEncoding.EncodeToString(s.State)
	}
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return w.post(ctx, fmt.Sprintf("%s-%d-%d", p.SHA256[:16], s.Epoch, s.Seq), body, time.Now())
}

// post makes one request. Anything but a 2xx is an error.
func (w *Webhook) post(ctx context.Context, delivery string, body []byte, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("webhook: cannot make the request")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "yserverd")
	req.Header.Set(DeliveryHeader, delivery)
	req.Header.Set(SignatureHeader, sign(w.Secret, body, now))
	resp, err := w.Transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	defer resp.Body.Close()
	// The connection is used again only if the answer was read, of which little
	// is waited for.
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, webhookResponse))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("webhook: answered %d", resp.StatusCode)
	}
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	return nil
}

// sign returns the value of SignatureHeader.
func sign(secret string, body []byte, now time.Time) string {
	t := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = mac.Write([]byte(t + "."))
	_, _ = mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

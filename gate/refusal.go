package gate

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Layer names the part of the gate that refused, the "layer" of an error body.
type Layer string

// The layers of a refusal, in the order in which a request meets them.
const (
	LayerValidation     Layer = "validation"     // the request makes no sense: bad room id, bad parameter
	LayerAuthentication Layer = "authentication" // who the caller is, is unknown or not believed
	LayerAccess         Layer = "access"         // the caller is known and may not: origin, role, condition
	LayerFirewall       Layer = "firewall"       // the row is out of the caller's scope, or does not exist
)

// Refusal is the answer to a request that may not go on. It is an error, so that hooks and rules of access can return
// it; whoever receives one writes it with Write, or closes the socket with CloseCode.
//
// Every field but RetryAfter reaches the client: put no inner error and no secret in it.
type Refusal struct {
	Status  int            // HTTP status, 400 to 599
	Layer   Layer          // "layer" of the body
	Code    string         // "code" of the body, upper-case with underscores
	Message string         // "error" of the body: one fixed lower-case sentence
	Details map[string]any // "details" of the body. Empty means absent.
	Hint    string         // "hint" of the body: what to do about it. Empty means absent.

	RetryAfter time.Duration // Retry-After header, rounded up to a second. Zero means no header.
}

// Error returns the message with its code, for logs.
func (r *Refusal) Error() string { return r.Message + " (" + r.Code + ")" }

// refusalBody is the JSON of a refusal: {"error","layer","code","details"?,"hint"?}, in this order.
type refusalBody struct {
	Error   string         `json:"error"`
	Layer   Layer          `json:"layer"`
	Code    string         `json:"code"`
	Details map[string]any `json:"details,omitempty"`
	Hint    string         `json:"hint,omitempty"`
}

// Write answers the request with the refusal's status and its JSON body. Headers that were set before stay, so CORS
// headers go first. What cannot be written is the client's loss: it has gone.
func (r *Refusal) Write(w http.ResponseWriter) {
	body, err := json.Marshal(refusalBody{r.Message, r.Layer, r.Code, r.Details, r.Hint})
	if err != nil { // details that are no JSON: the refusal itself still stands
		body, _ = json.Marshal(refusalBody{r.Message, r.Layer, r.Code, nil, r.Hint})
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if r.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatFloat(math.Ceil(r.RetryAfter.Seconds()), 'f', 0, 64))
	}
	w.WriteHeader(r.Status)
	_, _ = w.Write(append(body, '\n'))
}

// CloseCode returns the WebSocket close code that says the same on a mount which upgrades before it refuses (the
// y-websocket mount): 4400, 4401, 4403, 4404, 4409 and 4410 for good, on which y-websocket clients stop trying, and
// 4503 for troubles that pass. Any other refusal by the client's fault is 4400.
func (r *Refusal) CloseCode() int {
	switch s := r.Status; {
	case s == http.StatusTooManyRequests || s >= 500:
		return 4503 // never 4429: y-websocket takes 44xx as final
	case s == http.StatusUnauthorized || s == http.StatusForbidden || s == http.StatusNotFound ||
		s == http.StatusConflict || s == http.StatusGone:
		return 4000 + s
	default:
		return 4400
	}
}

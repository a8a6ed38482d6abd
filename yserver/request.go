package yserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/yserverd/yserverd/gate"
)

// closeRetry is when a client may try again that met a passing trouble.
const closeRetry = time.Second

var errResponseTooLarge = errors.New("response is over the limit")

type decisionKey struct{}

// IdentityOf returns who the gate says sent the request that a hook was given.
func IdentityOf(ctx context.Context) gate.Identity {
	d, _ := ctx.Value(decisionKey{}).(gate.Decision)
	return d.Identity
}

// MayWrite reports whether the gate lets whoever sent the request that OnRequest
// was given write in the room. A hook that changes something asks it: requests of
// those who may only read reach it too.
func MayWrite(ctx context.Context) bool {
	d, _ := ctx.Value(decisionKey{}).(gate.Decision)
	return d.Write
}

// request gives a plain HTTP request to the room type.
func (s *Server) request(w http.ResponseWriter, r *http.Request, rt route, d gate.Decision) {
	if rt.party.New == nil {
		plain(w, http.StatusNotFound, "Not implemented")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, rt.party.Limits.Request))
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		plain(w, status, http.StatusText(status))
		return
	}
	e, err := s.registry.acquire(r.Context(), rt.party, roomID{rt.party.Name, rt.room})
	if err != nil {
		s.refuseLoad(w, r, rt, err)
		return
	}
	defer s.registry.release(e)
	answer := newResponse(w.Header(), rt.party.Limits.Message)
	err = e.room.hooks.call(r.Context(), "OnRequest", func(ctx context.Context, value any) error {
		h, ok := value.(RequestHandler)
		if !ok {
			plain(answer, http.StatusNotFound, "Not implemented")
			return nil
		}
		ctx, cancel := joinContext(context.WithValue(r.Context(), decisionKey{}, d), ctx)
		defer cancel()
		req := r.WithContext(ctx)
		req.Body = io.NopCloser(bytes.NewReader(body))
		return h.OnRequest(answer, req)
	})
	switch {
	case errors.Is(err, errRoomEnded):
		unavailable("UNAVAILABLE", "the room is restarting", closeRetry).Write(w)
	case err != nil || !answer.send(w):
		plain(w, http.StatusInternalServerError, http.StatusText(http.StatusInternalServerError))
	}
}

// joinContext returns a with the end of both.
func joinContext(a, b context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(a)
	stop := context.AfterFunc(b, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// response keeps the answer of a hook until the hook has returned: no client can
// make it wait, and one that writes too late writes to nobody.
type response struct {
	limit int64

	mu       sync.Mutex
	header   http.Header // guarded by mu, but for who writes the answer
	status   int
	body     []byte
	tooLarge bool
	sent     bool // what comes is for nobody
}

func newResponse(header http.Header, limit int64) *response {
	return &response{header: header.Clone(), limit: limit}
}

// Header implements http.ResponseWriter.
func (a *response) Header() http.Header {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.header
}

// WriteHeader implements http.ResponseWriter. Informational answers are not
// passed on.
func (a *response) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid status %d", status)) // net/http would, where nobody knows which hook it was
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.status == 0 && status >= 200 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *response) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sent {
		return 0, http.ErrHandlerTimeout
	}
	if int64(len(a.body)+len(b)) > a.limit {
		a.tooLarge = true
		return 0, errResponseTooLarge
	}
	a.body = append(a.body, b...)
	return len(b), nil
}

// send sends the answer, unless it is over the limit.
func (a *response) send(w http.ResponseWriter) bool {
	a.WriteHeader(http.StatusOK)
	a.mu.Lock()
	answer := a.header
	a.header, a.sent = http.Header{}, true
	a.mu.Unlock()
	if a.tooLarge {
		return false
	}
	header := w.Header()
	clear(header)
	for name, values := range answer {
		header[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client may be gone
	return true
}

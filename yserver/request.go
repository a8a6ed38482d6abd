package yserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/yserverd/yserverd/gate"
)

// closeRetry is when a client may try again that met a passing trouble.
const closeRetry = time.Second

var errResponseTooLarge = errors.New("response is over the limit")

type identityKey struct{}

// IdentityOf returns who the gate says sent the request that a hook was given.
func IdentityOf(ctx context.Context) gate.Identity {
	id, _ := ctx.Value(identityKey{}).(gate.Identity)
	return id
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
	answer := &response{header: w.Header().Clone(), limit: rt.party.Limits.Message}
	err = e.room.hooks.call(r.Context(), "OnRequest", func(ctx context.Context, value any) error {
		h, ok := value.(RequestHandler)
		if !ok {
			plain(answer, http.StatusNotFound, "Not implemented")
			return nil
		}
		ctx, cancel := joinContext(context.WithValue(r.Context(), identityKey{}, d.Identity), ctx)
		defer cancel()
		req := r.WithContext(ctx)
		req.Body = io.NopCloser(bytes.NewReader(body))
		return h.OnRequest(answer, req)
	})
	switch {
	case errors.Is(err, errRoomEnded):
		unavailable("UNAVAILABLE", "the room is restarting", closeRetry).Write(w)
	case err != nil || answer.tooLarge:
		plain(w, http.StatusInternalServerError, http.StatusText(http.StatusInternalServerError))
	default:
		answer.send(w)
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
	header   http.Header
	status   int
	body     bytes.Buffer
	limit    int64
	tooLarge bool
}

// Header implements http.ResponseWriter.
func (a *response) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *response) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *response) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if int64(a.body.Len()+len(b)) > a.limit {
		a.tooLarge = true
		return 0, errResponseTooLarge
	}
	return a.body.Write(b)
}

func (a *response) send(w http.ResponseWriter) {
	a.WriteHeader(http.StatusOK)
	header := w.Header()
	clear(header)
	for name, values := range a.header {
		header[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // the client may be gone
}

package admin

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"github.com/yserverd/yserverd/gate"
)

// maxBody bounds what a request may bring.
const maxBody = 1 << 20

// API serves the requests below Config.Path. It is safe for concurrent use.
type API struct {
	// Static after construction.
	cfg      Config
	routes   http.Handler
	huma     huma.API
	backups  chan struct{} // a slot for each that runs
	failures failures

	// The end.
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
	stop    context.CancelFunc
	life    context.Context // ends with Close
}

// New makes an API.
func New(c Config) (*API, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.Origin == nil {
		var err error
		if c.Origin, err = gate.NewOriginPolicy(gate.OriginConfig{}); err != nil {
			return nil, err
		}
	}
	useErrors()
	a := &API{cfg: c, backups: make(chan struct{}, maxBackups), failures: failures{limit: c.FailuresPerMinute}}
	a.life, a.stop = context.WithCancel(context.Background())

	router := chi.NewRouter()
	notFound := &Error{status: http.StatusNotFound, Layer: gate.LayerValidation, Code: "NOT_FOUND", Message: "the admin API has no such path"}
	router.NotFound(func(w http.ResponseWriter, _ *http.Request) { notFound.write(w) })
	notAllowed := &Error{status: http.StatusMethodNotAllowed, Layer: gate.LayerValidation, Code: "METHOD_NOT_ALLOWED", Message: "this path takes other methods"}
	router.MethodNotAllowed(func(w http.ResponseWriter, _ *http.Request) { notAllowed.write(w) })
	a.huma = humachi.New(router, description(&c))
	a.addStats()
	a.addBackup()
	a.routes = http.StripPrefix(c.Path, router)
	return a, nil
}

// description is what OpenAPI says of the API as a whole.
func description(c *Config) huma.Config {
	d := huma.DefaultConfig("yserverd admin API", c.Version)
	d.OpenAPIPath, d.DocsPath, d.SchemasPath = "/v1/openapi", "", ""
	d.CreateHooks = nil // which would add links to schemas
	d.Servers = []*huma.Server{{URL: c.Path}}
	d.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	d.Security = []map[string][]string{{"token": {}}}
	return d
}

// ServeHTTP answers a request whose path is below Config.Path.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !a.enter() {
		(&Error{
			status: http.StatusServiceUnavailable, Layer: gate.LayerValidation, Code: "DRAINING", Message: "the server is restarting", retry: time.Second,
		}).write(w)
		return
	}
	defer a.running.Done()
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'")
	a.cfg.Origin.SetCORS(h, r)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if err := a.cfg.Origin.Check(r); err != nil {
		refuse(w, err)
		return
	}
	token, refused := a.authenticate(r)
	if refused == nil && !token.Write && !reads(r.Method) {
		refused = errReadOnly
	}
	if refused != nil {
		h.Set("WWW-Authenticate", `Bearer realm="yserverd admin"`)
		refused.write(w)
		return
	}
	a.serve(w, r, token)
}

// errReadOnly refuses what a token that may only read may not do.
var errReadOnly = &Error{
	status: http.StatusForbidden, Layer: gate.LayerAccess, Code: "ACCESS_ROLE_REQUIRED",
	Message: "this token may only read", Hint: "use a token whose role is write",
}

// refuse writes what the gate said.
func refuse(w http.ResponseWriter, err error) {
	if refusal, ok := err.(*gate.Refusal); ok {
		refusal.Write(w)
		return
	}
	(&Error{status: http.StatusForbidden, Layer: gate.LayerAccess, Code: "FORBIDDEN", Message: "this is refused"}).write(w)
}

// reads reports whether a method changes nothing.
func reads(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// serve answers a request of somebody, and says so in the log where it did more than read.
func (a *API) serve(w http.ResponseWriter, r *http.Request, token *Token) {
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), tokenKey{}, token))
	defer cancel()
	defer context.AfterFunc(a.life, cancel)()
	r = r.WithContext(ctx)
	seen := &recorder{ResponseWriter: w}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	began := a.cfg.Now()
	path := strings.TrimPrefix(r.URL.Path, a.cfg.Path)
	if !reads(r.Method) || path == "/v1/backup" {
		defer func() {
			failed := recover()
			a.cfg.Logger.Info("admin", "token", token.Name, "method", r.Method, "path", path, "status", seen.status,
				"bytes", seen.bytes, "whole", failed == nil, "client", a.cfg.ClientAddr(r), "took", a.cfg.Now().Sub(began))
			if failed != nil {
				panic(failed)
			}
		}()
	}
	a.routes.ServeHTTP(seen, r)
}

// enter counts a request, unless there are to be no more.
func (a *API) enter() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	a.running.Add(1)
	return true
}

// Close refuses further requests, stops those under way, and waits for their end. The caller has ended their
// connections, or a client that takes nothing holds it up for Config.Stall.
func (a *API) Close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.stop()
	a.running.Wait()
}

// recorder sees what is answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

package main

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/admin"
	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/yserver"
)

// checkpointer is a store that can be copied while it is used.
type checkpointer interface {
	UUID() string
	Checkpoint() (dir string, remove func() error, err error)
}

// newAdmin makes the admin API of a server, or nil where there is to be none.
func newAdmin(cfg *config.Config, whom audience, rooms *yserver.Server, store documents, log *slog.Logger) (*admin.API, error) {
	if !cfg.Admin.Mounted() {
		return nil, nil
	}
	origin, err := originPolicy(cfg, whom)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	c := admin.Config{
		Path:       cfg.Admin.Path,
		Version:    version(),
		Stats:      func() admin.Stats { return statsOf(cfg, rooms, time.Since(began)) },
		Origin:     origin,
		ClientAddr: clientAddr(cfg.TrustedProxies),
		Logger:     log,

		FailuresPerMinute: cfg.Limits.AuthFailuresPerMinute,
	}
	if c.FailuresPerMinute == 0 {
		c.FailuresPerMinute = -1 // 0 is the default there
	}
	for _, t := range cfg.Admin.Tokens {
		c.Tokens = append(c.Tokens, admin.Token{Name: t.Name, SHA256: t.SHA256, Write: t.Write})
	}
	if s, ok := store.(checkpointer); ok {
		c.Backup = &admin.BackupSource{Store: s.UUID(), Bucket: cfg.Snapshots.S3.Endpoint != "", Checkpoint: s.Checkpoint}
	}
	return admin.New(c)
}

// statsOf returns the figures of a server in the words of the API.
func statsOf(cfg *config.Config, rooms *yserver.Server, up time.Duration) admin.Stats {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	st, store := rooms.Stats(), "embedded"
	if cfg.Store.URL != "" {
		store = "postgres"
	}
	return admin.Stats{
		Version: version(), UptimeSeconds: up.Seconds(), Ready: rooms.Ready() == nil,
		Store: store, Bucket: cfg.Snapshots.S3.Endpoint != "", HeapBytes: memory.HeapAlloc, Goroutines: runtime.NumGoroutine(),

		Connections: st.Connections, Rooms: st.Rooms, DocumentBytes: st.DocumentBytes, PendingBytes: st.PendingBytes, QueuedBytes: st.QueuedBytes,
		Loads: st.Loads, LoadFailures: st.LoadFailures, Folds: st.Folds, FoldFailures: st.FoldFailures,
		BadFrames: st.BadFrames, OverLimit: st.OverLimit, RefusedWrites: st.RefusedWrites,
		RoomPanics: st.RoomPanics, HookPanics: st.HookPanics, HookErrors: st.HookErrors, HooksStuck: st.HooksStuck, SaveFailures: st.SaveFailures,
		Hibernations: st.Hibernations, StaleCopies: st.StaleCopies, Versions: st.Versions, VersionErrors: st.VersionErrors,
		Swept: st.Swept, SweepErrors: st.SweepErrors,
		Dismissed: st.Dismissed, Refreshes: st.Refreshes, RefreshFailures: st.RefreshFailures, RecheckErrors: st.RecheckErrors,
		Hidden: st.Hidden, UpgradesRefused: st.UpgradesRefused,
		Closes: st.Closes, UncleanCloses: st.UncleanCloses, Conflations: st.Conflations,
	}
}

// below answers requests whose path is a path or lies below it with one handler, and the rest with another.
func below(path string, handler, rest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if after, ok := strings.CutPrefix(r.URL.Path, path); ok && (after == "" || after[0] == '/') {
			handler.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// endpoint is an address at which plain requests are answered.
type endpoint struct {
	http     *http.Server
	listener net.Listener
	served   chan struct{} // closed when nothing is accepted any more
	err      error         // why; set before served is closed
}

// newEndpoint answers requests on a listener. Their headers have so long to come.
func newEndpoint(listener net.Listener, handler http.Handler, headers time.Duration, log *slog.Logger) *endpoint {
	e := &endpoint{
		listener: listener, served: make(chan struct{}),
		http: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: headers,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
	}
	go func() {
		defer close(e.served)
		e.err = e.http.Serve(listener)
		if !errors.Is(e.err, http.ErrServerClosed) {
			log.Error("nothing is answered any more", "address", listener.Addr().String(), "error", e.err)
		}
	}()
	return e
}

// drawToken returns a new token of the admin API, with its entry of the configuration.
func drawToken(name string) (token string, entry config.AdminToken) {
	token = strings.ToLower(rand.Text())
	return token, config.AdminToken{Name: name, SHA256: sha256.Sum256([]byte(token)), Write: true}
}

// adminPlace tells people where the admin API is.
func adminPlace(s *service, cfg *config.Config) string {
	if s.admin == nil {
		return "off"
	}
	return s.adminAddr().String() + cfg.Admin.Path
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/admin"
	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/yserver"
)

const (
	// idleTimeout is how long a connection between two plain requests is kept.
	idleTimeout = 2 * time.Minute
	// maxHeaderBytes bounds a request's line and headers: cookies and tokens, no more.
	maxHeaderBytes = 64 << 10
	// plainGrace is what plain requests in flight get at the end, once all rooms are stored.
	plainGrace = 2 * time.Second
)

// service is a server that takes connections: what dev and serve have in common.
type service struct {
	log      *slog.Logger
	store    io.Closer
	rooms    *yserver.Server
	gates    *gates
	public   *endpoint
	admin    *admin.API    // nil: there is none
	separate *endpoint     // of admin, where it has an address of its own
	timeout  time.Duration // of a shutdown

	release func() // what is to be let go of behind the store
}

// start opens what the configuration declares and takes connections. Producers start after what they need: the
// address is taken first, for it is what is most often not to be had, then the store is opened, then rooms are served.
func start(ctx context.Context, cfg *config.Config, whom audience, g *gates, log *slog.Logger) (*service, error) {
	l, err := listen(cfg)
	if err != nil {
		g.close()
		return nil, err
	}
	o, err := openStore(ctx, cfg, log)
	if err != nil {
		l.close()
		g.close()
		return nil, err
	}
	s, err := startOn(l, o.store, cfg, whom, g, log)
	if err != nil {
		o.release()
		return nil, err
	}
	s.release = o.release
	return s, nil
}

// startOn takes connections on listeners for documents in a store, as gates let them in. It owns all of them from here
// on.
func startOn(l listeners, store documents, cfg *config.Config, whom audience, g *gates, log *slog.Logger) (*service, error) {
	rooms, err := newRooms(cfg, whom, g, store, log)
	if err != nil {
		l.close()
		g.close()
		return nil, errors.Join(err, store.Close())
	}
	s := &service{log: log, store: store, rooms: rooms, gates: g, timeout: cfg.ShutdownTimeout, release: func() {}}
	if s.admin, err = newAdmin(cfg, whom, rooms, store, log); err != nil {
		l.close()
		err = errors.Join(err, s.endRooms(context.Background()))
		g.close()
		return nil, errors.Join(err, store.Close())
	}
	handler := withHealth(rooms)
	switch {
	case l.admin != nil:
		s.separate = newEndpoint(l.admin, below(cfg.Admin.Path, s.admin, http.NotFoundHandler()), cfg.Limits.UnauthenticatedTimeout, log)
	case s.admin != nil:
		handler = below(cfg.Admin.Path, s.admin, handler)
	}
	s.public = newEndpoint(l.public, handler, cfg.Limits.UnauthenticatedTimeout, log)
	return s, nil
}

// listeners are the addresses of a server.
type listeners struct {
	public net.Listener
	admin  net.Listener // nil: the admin API is at the public one, or nowhere
}

// listen takes the addresses that the configuration names.
func listen(cfg *config.Config) (l listeners, err error) {
	if l.public, err = net.Listen("tcp", cfg.Listen); err != nil {
		return l, listenError(cfg.Listen, err)
	}
	if cfg.Admin.Mounted() && cfg.Admin.Listen != "" {
		if l.admin, err = net.Listen("tcp", cfg.Admin.Listen); err != nil {
			l.close()
			return l, listenError(cfg.Admin.Listen, err)
		}
	}
	return l, nil
}

// close gives the addresses back.
func (l listeners) close() {
	_ = l.public.Close()
	if l.admin != nil {
		_ = l.admin.Close()
	}
}

// listenError says why an address is not to be had.
func listenError(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("the address %s is in use: another program listens there; end it, or listen elsewhere", address)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("the address %s may not be listened on by this user", address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("the address %s is not one of this machine", address)
	}
	return err
}

// addr returns the address that is listened on, with its real port.
func (s *service) addr() net.Addr { return s.public.listener.Addr() }

// adminAddr returns the address of the admin API, or nil where there is none.
func (s *service) adminAddr() net.Addr {
	switch {
	case s.admin == nil:
		return nil
	case s.separate != nil:
		return s.separate.listener.Addr()
	}
	return s.addr()
}

// runUntil serves until ctx ends or serving fails, and then ends in order.
func (s *service) runUntil(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return s.end(nil)
	case <-s.public.served:
		return s.end(fmt.Errorf("accept connections: %w", s.public.err))
	}
}

// end stops accepting, stores and closes all rooms, closes the store, and waits for everything. It returns cause, or
// what kept an edit from being stored.
func (s *service) end(cause error) error {
	began := time.Now()
	s.log.Info("shutting down", "timeout", s.timeout)
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()

	plain, stopWaiting := context.WithCancel(ctx)
	defer stopWaiting()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.endPlain(plain)
	}()
	<-s.public.served
	err := s.endRooms(ctx)
	grace := time.AfterFunc(plainGrace, stopWaiting)
	<-closed
	grace.Stop()
	if s.admin != nil {
		s.admin.Close()
	}
	s.gates.close()
	if closeErr := s.store.Close(); closeErr != nil {
		err = errors.Join(err, closeErr)
	}
	s.release()
	s.log.Info("ended", "after", time.Since(began).Round(time.Millisecond))
	return errors.Join(cause, err)
}

// endPlain stops accepting and waits for plain requests; once the context ends it cuts them off.
func (s *service) endPlain(ctx context.Context) {
	var ends sync.WaitGroup
	for _, e := range []*endpoint{s.public, s.separate} {
		if e == nil {
			continue
		}
		ends.Go(func() {
			if e.http.Shutdown(ctx) != nil {
				_ = e.http.Close()
			}
			<-e.served
		})
	}
	ends.Wait()
}

// endRooms stores and closes all rooms. Rooms that did not end in time are no error as long as their edits are stored.
func (s *service) endRooms(ctx context.Context) error {
	err := s.rooms.Shutdown(ctx)
	var unsaved *yserver.UnsavedError
	switch {
	case errors.As(err, &unsaved):
		return fmt.Errorf("%d bytes of edits could not be stored within %s; nobody was told that they are", unsaved.Bytes, s.timeout)
	case errors.Is(err, context.DeadlineExceeded):
		s.log.Warn("not everything ended in time; every edit is stored", "timeout", s.timeout)
		return nil
	}
	return err
}

// withHealth answers the health checks and gives every other request to the rooms. It is no http.ServeMux, which would
// redirect paths that clients really send.
func withHealth(rooms *yserver.Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		switch r.URL.Path {
		case "/healthz":
		case "/readyz":
			err = rooms.Ready()
		default:
			rooms.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		status, text := http.StatusOK, "ok\n"
		if err != nil {
			status, text = http.StatusServiceUnavailable, err.Error()+"\n"
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	})
}

package main

import (
	"context"
	bigendian "encoding/binary"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/internal/pgtest"
)

// pooler stands in front of a database as PgBouncer does: it refuses clients that set more than their name when they
// connect. It counts those.
type pooler struct {
	mu      sync.Mutex
	refused int
}

// MustPool starts one and returns the URL of the database behind it.
func MustPool(t *testing.T, behind string) (*pooler, string) {
	t.Helper()
	u, err := url.Parse(behind)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p, database := &pooler{}, u.Host
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(conn, database) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	u.Host = listener.Addr().String()
	return p, u.String()
}

// serve passes one client on, or refuses it.
func (p *pooler) serve(client net.Conn, database string) {
	defer client.Close()
	var length [4]byte
	if _, err := io.ReadFull(client, length[:]); err != nil {
		return
	}
	startup := make([]byte, bigendian.BigEndian.Uint32(length[:])-4)
	if _, err := io.ReadFull(client, startup); err != nil {
		return
	}
	if strings.Contains(string(startup), "statement_timeout") {
		p.mu.Lock()
		p.refused++
		p.mu.Unlock()
		fields := "SFATAL\x00C08P01\x00Munsupported startup parameter: statement_timeout\x00\x00"
		_, _ = client.Write(append(bigendian.BigEndian.AppendUint32([]byte{'E'}, uint32(4+len(fields))), fields...))
		return
	}
	server, err := net.Dial("tcp", database)
	if err != nil {
		return
	}
	defer server.Close()
	_, _ = server.Write(append(length[:], startup...))
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}

// TestDatabaseBehindAPooler: one that takes no settings is asked without them, and any other one has them.
func TestDatabaseBehindAPooler(t *testing.T) {
	behind := pgtest.Database(t)
	setting := func(cfg *config.Config) (value string) {
		db, err := openDatabase(context.Background(), cfg)
		require.NoError(t, err)
		defer db.Close()
		require.NoError(t, db.QueryRow(context.Background(), "SHOW statement_timeout").Scan(&value))
		var name string
		require.NoError(t, db.QueryRow(context.Background(), "SHOW application_name").Scan(&name))
		require.Equal(t, "yserverd gate", name)
		return value
	}
	cfg := config.Default()
	cfg.Store.URL = behind
	require.Equal(t, gateStatement, setting(cfg))

	var p *pooler
	p, cfg.Database.URL = MustPool(t, behind)
	require.Equal(t, "0", setting(cfg))
	require.Equal(t, 1, p.refused)

	db, err := openDatabase(context.Background(), &config.Config{Store: config.Store{URL: behind}})
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec(context.Background(), "CREATE TABLE t ()")
	require.ErrorContains(t, err, "read-only", "the application's tables are not ours to change")
}

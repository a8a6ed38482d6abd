package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// line is a connection between servers and a store that can be disturbed.
type line struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

// newLine returns a line to an address, which ends with the test.
func newLine(t *testing.T, address string) *line {
	t.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics have a log of their own
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &line{t, toxiproxy.NewProxy(server, "line", "127.0.0.1:0", address)}
	require.NoError(t, l.proxy.Start())
	t.Cleanup(func() {
		l.proxy.Toxics.ResetToxics(context.Background())
		l.proxy.Stop()
	})
	return l
}

// disturb adds a toxic to both directions.
func (l *line) disturb(kind string, attributes map[string]int) {
	l.t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		toxic, err := json.Marshal(map[string]any{"name": stream, "type": kind, "stream": stream, "attributes": attributes})
		require.NoError(l.t, err)
		_, err = l.proxy.Toxics.AddToxicJson(bytes.NewReader(toxic))
		require.NoError(l.t, err)
	}
}

// repair makes the line what it was.
func (l *line) repair() {
	l.t.Helper()
	l.proxy.Toxics.ResetToxics(context.Background())
	if !l.proxy.Enabled {
		require.NoError(l.t, l.proxy.Start())
	}
}

// overLines puts lines between the servers of a depot and what they keep documents in. The test itself looks there
// directly. A line is nil where there is nothing.
func overLines(t *testing.T, d *depot) (database, objects *line) {
	t.Helper()
	if d.database != "" {
		database = newLine(t, hostOf(t, d.database))
		d.databaseLine = withHost(t, d.database, database.proxy.Listen)
	}
	if d.objects != nil {
		objects = newLine(t, d.objects.Address())
		d.objectsLine = objects.proxy.Listen
	}
	return database, objects
}

func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u.Host
}

func withHost(t *testing.T, address, host string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.Host = host
	return u.String()
}

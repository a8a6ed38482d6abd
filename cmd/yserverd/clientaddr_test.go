package main

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClientAddr(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, row := range []struct {
		name    string
		trusted []netip.Prefix
		remote  string
		header  []string
		want    string
	}{
		{"no proxy", nil, "203.0.113.7:5000", nil, "203.0.113.7"},
		{"a client is not believed", nil, "203.0.113.7:5000", []string{"198.51.100.1"}, "203.0.113.7"},
		{"nor one that is no trusted proxy", trusted, "203.0.113.7:5000", []string{"198.51.100.1"}, "203.0.113.7"},
		{"trusted proxy", trusted, "10.0.0.1:80", []string{"203.0.113.7"}, "203.0.113.7"},
		{"chain of trusted proxies", trusted, "10.0.0.1:80", []string{"203.0.113.7, 10.0.0.3", "10.0.0.2"}, "203.0.113.7"},
		{"what the client wrote is behind the first that is not trusted", trusted, "10.0.0.1:80", []string{"127.0.0.1, 198.51.100.1, 203.0.113.7"}, "203.0.113.7"},
		{"all trusted", trusted, "10.0.0.1:80", []string{"10.0.0.3,10.0.0.2"}, "10.0.0.3"},
		{"trusted without a header", trusted, "10.0.0.1:80", nil, "10.0.0.1"},
		{"a hop that hides", trusted, "10.0.0.1:80", []string{"203.0.113.7, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"an empty header", trusted, "10.0.0.1:80", []string{""}, "10.0.0.1"},
		{"a hop with a port", trusted, "10.0.0.1:80", []string{"203.0.113.7:4711"}, "203.0.113.7"},
		{"IPv6 with a port", trusted, "[::1]:80", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		{"IPv6 in brackets", trusted, "[::1]:80", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"mapped IPv4 is IPv4", trusted, "[::ffff:10.0.0.1]:80", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		{"zones do not make addresses different", nil, "[fe80::1%eth0]:80", nil, "fe80::1"},
		{"no address at all", trusted, "pipe", []string{"203.0.113.7"}, "pipe"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = row.remote
			for _, h := range row.header {
				r.Header.Add("X-Forwarded-For", h)
			}
			require.Equal(t, row.want, clientAddr(row.trusted)(r))
		})
	}
}

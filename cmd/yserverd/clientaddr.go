package main

import (
	"net/http"
	"net/netip"
	"strings"
)

// clientAddr returns a function that tells the address of a request's client, for limits and logs: the nearest one that
// is no trusted proxy. Only trusted proxies are believed about where a request came from: what a client itself writes
// into X-Forwarded-For stands behind them and is not read.
func clientAddr(trusted []netip.Prefix) func(*http.Request) string {
	return func(r *http.Request) string {
		peer, ok := parseHop(r.RemoteAddr)
		if !ok {
			return r.RemoteAddr
		}
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for i := len(hops) - 1; i >= 0 && contains(trusted, peer); i-- {
			hop, ok := parseHop(strings.TrimSpace(hops[i]))
			if !ok {
				break // a proxy that hides the address: its own is the nearest that is known
			}
			peer = hop
		}
		return peer.String()
	}
}

// parseHop reads an address with or without a port.
func parseHop(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap().WithZone(""), err == nil
}

// contains reports whether one of the networks has the address.
func contains(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

package yserver

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// secretParams are the query parameters that may hold a credential.
var secretParams = []string{"api_key", "key", "ws_ticket", "token"}

// redacted stands for a credential.
const redacted = "redacted"

// requestURI rebuilds the URL of an upgrade, as partyserver's connection.uri, but
// for the values of query parameters that may be credentials: of the usual ones
// and of those in more.
func requestURI(r *http.Request, more []string) string {
	u := url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: redactQuery(r.URL.RawQuery, more)}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	return u.String()
}

// redactQuery leaves everything as it is written but those values.
func redactQuery(raw string, more []string) string {
	if raw == "" {
		return raw
	}
	pairs := strings.Split(raw, "&")
	for i, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if value != "" && (err != nil || slices.Contains(secretParams, plain) || slices.Contains(more, plain)) {
			pairs[i] = name + "=" + redacted
		}
	}
	return strings.Join(pairs, "&")
}

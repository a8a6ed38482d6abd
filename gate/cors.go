package gate

import "net/http"

// What a page of another origin may do: the methods that rooms and the HTTP interfaces answer, and the headers that
// they read.
const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	corsHeaders = "authorization, content-type, x-api-key, if-match, idempotency-key"
	corsMaxAge  = "86400" // seconds; browsers cap it further
)

// preflight reports whether r is a browser's question before a request of another origin.
func preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// SetCORS sets the response headers that let an allowed origin read the answer, and on a preflight those that say what
// it may send. A preflight is answered with 204, before the gate: it carries no credentials to decide on. CORS does not
// apply to upgrades.
//
// The origin of the server, a listed one and (in loopback mode) a loopback one is echoed, with credentials. One that
// only "*" allows gets "*" and no credentials. A refused one gets nothing but Vary, so its page cannot read the answer.
func (p *OriginPolicy) SetCORS(h http.Header, r *http.Request) {
	h.Add("Vary", "Origin")
	if p.loopback && !loopbackAuthority(r.Host) {
		return
	}
	switch p.Classify(r) {
	case OriginSameHost, OriginListed:
		h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin")) // as sent: browsers compare bytes
		h.Set("Access-Control-Allow-Credentials", "true")
	case OriginWildcard:
		h.Set("Access-Control-Allow-Origin", "*")
	default:
		return
	}
	if preflight(r) {
		h.Set("Access-Control-Allow-Methods", corsMethods)
		h.Set("Access-Control-Allow-Headers", corsHeaders)
		h.Set("Access-Control-Max-Age", corsMaxAge)
	}
}

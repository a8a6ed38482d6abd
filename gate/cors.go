package gate

import "net/http"

// What a page of another origin may do: the methods that rooms and the HTTP interfaces answer, and the headers that
// they read.
const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	corsHeaders = "authorization, content-type, x-api-key, if-match, idempotency-key"
	corsMaxAge  = "86400" // seconds; browsers cap it further
)

// CORS sets the headers that let an allowed origin read the answer, and answers a preflight. It returns true when it
// answered: the request ends there, before the gate. Call it first, and not on upgrades, to which CORS does not apply.
//
// The origin of the server, a listed one and (in loopback mode) a loopback one is echoed, with credentials. One that
// only "*" allows gets "*" and no credentials. A refused one gets no headers at all, so its page cannot read the
// answer; its preflight is a bare 204.
func (p *OriginPolicy) CORS(w http.ResponseWriter, r *http.Request) (answered bool) {
	if p.loopback && !loopbackAuthority(r.Host) {
		return false // Check refuses it
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	class := p.Classify(r)
	preflight := r.Method == http.MethodOptions && class != OriginNone && r.Header.Get("Access-Control-Request-Method") != ""
	switch class {
	case OriginSameHost, OriginListed:
		h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin")) // as sent: browsers compare bytes
		h.Set("Access-Control-Allow-Credentials", "true")
	case OriginWildcard:
		h.Set("Access-Control-Allow-Origin", "*")
	}
	if !preflight {
		return false
	}
	if class != OriginRefused {
		h.Set("Access-Control-Allow-Methods", corsMethods)
		h.Set("Access-Control-Allow-Headers", corsHeaders)
		h.Set("Access-Control-Max-Age", corsMaxAge)
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

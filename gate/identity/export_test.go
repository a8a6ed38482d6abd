package identity

import (
	"encoding/base64"
	"net/url"
	"strings"
	"time"
)

// What fuzz targets call.
var (
	MetadataOrg   = metadataOrg
	OpenCookie    = openCookie
	LooksLikeJWT  = looksLikeJWT
	BearerToken   = bearerToken
	IsTicket      = isTicket
	SplitRoles    = splitRoles
	QueryTimeout  = queryTimeout
	LastBackoff   = lastBackoff
	MinKeyAge     = minKeyAge
	MaxKeyAge     = maxKeyAge
	MaxKeySet     = maxKeySet
	KeysTimeout   = keysTimeout
	MaxJWT        = maxJWT
	MaxToken      = maxToken
	TicketType    = ticketType
	ScanQueryOnly = scanQuery
)

// Signed returns a session token as a cookie has it, before it is URL-encoded.
func Signed(token string, secret []byte) string {
	mac := sign(token, secret)
	return token + "." + base64.StdEncoding.EncodeToString(mac[:])
}

// Cookie returns a session token as a cookie has it, which is encodeURIComponent's work: a space is no plus.
func Cookie(token string, secret []byte) string {
	return strings.ReplaceAll(url.QueryEscape(Signed(token, secret)), "+", "%20")
}

// TicketKey returns the key of an issuer.
func TicketKey(i *Issuer) []byte { return i.key }

// KeyLimits counts uses of keys.
type KeyLimits = keyLimits

// NewKeyLimits returns limits for at most so many keys.
func NewKeyLimits(most int) *KeyLimits { return newKeyLimits(most) }

// Allow counts a use.
func (l *keyLimits) Allow(id string, most float64, window time.Duration, now time.Time) (time.Duration, bool) {
	return l.allow(id, most, window, now)
}

// Len returns how many keys are counted.
func (l *keyLimits) Len() int { return l.recent.Len() }

// Outcomes of asking.
const (
	Answered = answered
	Failed   = failed
	Unknown  = unknown
)

// Breaker is a breaker.
type Breaker struct{ b breaker }

// NewBreaker returns one.
func NewBreaker(clock func() time.Time) *Breaker { return &Breaker{breaker{clock: clock}} }

// Enter asks whether one may ask.
func (b *Breaker) Enter() (probe, ok bool) { return b.b.enter() }

// Leave says how it went.
func (b *Breaker) Leave(probe bool, o outcome) bool { return b.b.leave(probe, o) }

// Renewing waits for the asking of the issuer that is under way, if any.
func (a *Authenticator) Renewing() {
	k := a.jwts.keys
	k.mu.Lock()
	f := k.flight
	k.mu.Unlock()
	if f != nil {
		<-f.done
	}
}

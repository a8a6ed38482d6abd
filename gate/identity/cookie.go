package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/yserverd/yserverd/gate"
)

// securePrefix is what browsers take only from https.
const securePrefix = "__Secure-"

// maxCookies bounds how many cookies of one name are looked at.
const maxCookies = 4

// cookieCounts reports whether a cookie is from a page that may use it. A wildcard lets every page in, and browsers send
// cookies along.
func cookieCounts(o gate.OriginClass) bool {
	return o == gate.OriginNone || o == gate.OriginSameHost || o == gate.OriginListed
}

// sessionCookie returns the session token of the cookie whose signature is right. A browser sends a cookie twice when
// it was set for two paths or domains, and somebody else may have set one of them.
func sessionCookie(r *http.Request, name string, secret []byte) (token string, ok bool) {
	cookies := r.CookiesNamed(name)
	for _, c := range cookies[:min(len(cookies), maxCookies)] {
		if token, ok = openCookie(c.Value, secret); ok {
			return token, true
		}
	}
	return "", false
}

// openCookie returns the session token of a cookie's value, which is the URL-encoded <token>.<signature>.
func openCookie(value string, secret []byte) (token string, ok bool) {
	if len(value) > 3*maxToken {
		return "", false
	}
	if strings.Contains(value, "%") {
		decoded, err := url.PathUnescape(value) // as decodeURIComponent: a plus is a plus
		if err != nil {
			return "", false
		}
		value = decoded
	}
	return openSigned(value, secret)
}

// openSigned returns the token of <token>.<base64 of its HMAC-SHA256>, if the signature is right.
func openSigned(value string, secret []byte) (token string, ok bool) {
	dot := strings.LastIndexByte(value, '.')
	if dot < 1 || len(secret) == 0 {
		return "", false
	}
	token = value[:dot]
	signature, err := base64.StdEncoding.Strict().DecodeString(value[dot+1:])
	if err != nil || len(signature) != sha256.Size || !sameDigest([sha256.Size]byte(signature), sign(token, secret)) {
		return "", false
	}
	return token, true
}

// sign returns the HMAC-SHA256 of a session token.
func sign(token string, secret []byte) [sha256.Size]byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(token))
	return [sha256.Size]byte(mac.Sum(nil))
}

package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/yserverd/yserverd/persist"
)

// longestAnswer is what an error repeats of an answer that is no S3 server's, in bytes.
const longestAnswer = 200

// What servers call their refusals, beyond what the library has names for.
const (
	invalidAccessKeyID    = "InvalidAccessKeyId"
	unknownUser           = "XAdminUserNotFound" // versitygw's
	signatureDoesNotMatch = "SignatureDoesNotMatch"
	expiredToken          = "ExpiredToken"
	invalidToken          = "InvalidToken"
	permanentRedirect     = "PermanentRedirect"
	temporaryRedirect     = "TemporaryRedirect"
	wrongLocation         = "IllegalLocationConstraintException"
	clockSkewed           = "RequestTimeTooSkewed"
	conditionalConflict   = "ConditionalRequestConflict" // two conditional puts at once
)

// failed turns the error of a request into one for the reader, and a nil error into nil. An error of the caller's context
// is returned as it is.
func (b *Bucket) failed(ctx context.Context, op, name string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var response minio.ErrorResponse
	reason := ""
	if errors.As(err, &response) {
		reason = b.refusal(response)
	} else {
		reason = b.trouble(err)
		b.transport.CloseIdleConnections() // they lead to the same place, and may be as dead
	}
	return fmt.Errorf("%w: s3 %s %q in bucket %q at %s: %s", persist.ErrUnavailable, op, name, b.opts.Bucket, b.opts.Endpoint, reason)
}

// refused reports whether an error is a server's answer.
func refused(err error) bool {
	var response minio.ErrorResponse
	return errors.As(err, &response)
}

// passing reports whether a server's answer may be another one right away.
func passing(err error) bool {
	var response minio.ErrorResponse
	if !errors.As(err, &response) {
		return false
	}
	switch response.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return response.Code == conditionalConflict
}

// refusal says what a server's answer means, and what to do.
func (b *Bucket) refusal(r minio.ErrorResponse) string {
	switch r.Code {
	case minio.NoSuchBucket:
		return "there is no such bucket: create it, or correct s3.bucket"
	case minio.AccessDenied:
		if b.opts.AccessKey == "" {
			return "access denied: the account of the environment or the machine, if there is one, may not put, get, delete and list here"
		}
		return "access denied: the account of s3.access_key may not put, get, delete and list here"
	case invalidAccessKeyID, unknownUser:
		return "the server does not know the access key: correct s3.access_key, or where it comes from"
	case signatureDoesNotMatch:
		return "the secret key is not that of the access key: correct s3.secret_key, or where it comes from"
	case expiredToken, invalidToken:
		return "the token of the environment or the machine is not accepted any more"
	case minio.AuthorizationHeaderMalformed, minio.InvalidRegion, permanentRedirect, temporaryRedirect, wrongLocation:
		return b.elsewhere(r)
	case clockSkewed:
		return "this machine's clock and the server's are too far apart"
	case minio.NotImplemented:
		return "the server cannot do this; conditional puts (If-None-Match) are needed"
	}
	if r.StatusCode == http.StatusMovedPermanently || r.StatusCode == http.StatusTemporaryRedirect {
		return b.elsewhere(r)
	}
	return fmt.Sprintf("the server refused with status %d, %s", r.StatusCode, short(r.Code+": "+r.Message))
}

// elsewhere is for a bucket of another region.
func (b *Bucket) elsewhere(r minio.ErrorResponse) string {
	reason := fmt.Sprintf("the region is not %q: correct s3.region", b.opts.Region)
	if r.Region != "" && r.Region != b.opts.Region {
		reason += fmt.Sprintf(" (the server says %q)", short(r.Region))
	}
	return reason
}

// trouble says what kept an answer from coming.
func (b *Bucket) trouble(err error) string {
	var (
		located   *url.Error
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		record    tls.RecordHeaderError
	)
	if errors.As(err, &located) {
		err = located.Err // without what was asked, which says nothing more
	}
	switch text := err.Error(); {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %v", b.opts.Timeout)
	case errors.As(err, &authority), errors.As(err, &host):
		return "the server's certificate is not trusted: " + short(text)
	case errors.As(err, &record), strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return "the server does not speak TLS: set s3.tls to false, or correct s3.endpoint"
	case strings.HasPrefix(text, "Connection closed by foreign host"):
		return "the connection was closed before the answer"
	default:
		return "the server cannot be reached: " + short(text)
	}
}

// short makes one line of a text, not too long a one.
func short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > longestAnswer {
		text = strings.ToValidUTF8(text[:longestAnswer], "") + "..."
	}
	return text
}

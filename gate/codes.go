package gate

import (
	"net/http"
	"time"
)

// Codes of refusals. A code is stable: clients branch on it.
const (
	CodeRoomID = "ROOM_ID_INVALID" // the room segment of the path is no room id, or none of the party's
	CodeOrigin = "ORIGIN_REFUSED"  // the Origin header is not allowed here
	CodeHost   = "HOST_REFUSED"    // the Host header is not loopback and the server is a development server

	CodeMissing         = "AUTH_MISSING"      // no credential, and the room needs one
	CodeInvalid         = "AUTH_INVALID"      // a credential does not verify
	CodeExpired         = "AUTH_EXPIRED"      // a credential was good once
	CodeAmbiguous       = "AUTH_AMBIGUOUS"    // more than one kind of explicit credential
	CodeRateLimited     = "AUTH_RATE_LIMITED" // a key is used too often, or too many credentials of an address failed
	CodeAuthUnavailable = "AUTH_UNAVAILABLE"  // what knows the credentials cannot be reached

	CodeRole              = "ACCESS_ROLE_REQUIRED"    // the caller has none of the roles
	CodeCondition         = "ACCESS_CONDITION_FAILED" // the row is not as the rule wants it
	CodeDenied            = "ACCESS_DENIED"           // the room is somebody else's, or not the ticket's
	CodeFirewall          = "FIREWALL_NOT_FOUND"      // no row in the caller's scope
	CodeNotFound          = "NOT_FOUND"               // the same, where it is not to be told apart from no row at all
	CodeAccessUnavailable = "ACCESS_UNAVAILABLE"      // what knows the rows cannot be reached
)

// retryUnavailable is when to try again what could not be decided.
const retryUnavailable = time.Second

// RefuseMissing refuses an anonymous caller.
func RefuseMissing() *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Layer: LayerAuthentication, Code: CodeMissing, Message: "a credential is required"}
}

// RefuseInvalid refuses a credential that does not verify. It does not say why.
func RefuseInvalid() *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Layer: LayerAuthentication, Code: CodeInvalid, Message: "the credential is not valid"}
}

// RefuseExpired refuses a credential whose time is over.
func RefuseExpired() *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Layer: LayerAuthentication, Code: CodeExpired, Message: "the credential has expired"}
}

// RefuseAmbiguous refuses a request with more than one kind of explicit credential.
func RefuseAmbiguous() *Refusal {
	return &Refusal{
		Status: http.StatusBadRequest, Layer: LayerAuthentication, Code: CodeAmbiguous,
		Message: "the request has more than one credential", Hint: "send one of x-api-key, api_key, key, Authorization and ws_ticket",
	}
}

// RefuseRateLimited refuses a credential that is tried or used too often. Zero retry means a second.
func RefuseRateLimited(retry time.Duration) *Refusal {
	return &Refusal{
		Status: http.StatusTooManyRequests, Layer: LayerAuthentication, Code: CodeRateLimited,
		Message: "too many attempts", RetryAfter: max(retry, time.Second),
	}
}

// RefuseAuthUnavailable refuses because nobody can say now who the caller is.
func RefuseAuthUnavailable() *Refusal {
	return &Refusal{
		Status: http.StatusServiceUnavailable, Layer: LayerAuthentication, Code: CodeAuthUnavailable,
		Message: "the credential cannot be verified now", RetryAfter: retryUnavailable,
	}
}

// RefuseRole refuses a caller without the roles that the room asks for.
func RefuseRole() *Refusal {
	return &Refusal{Status: http.StatusForbidden, Layer: LayerAccess, Code: CodeRole, Message: "the caller's roles do not allow this"}
}

// RefuseCondition refuses because the row is not as the rule of access wants it.
func RefuseCondition() *Refusal {
	return &Refusal{Status: http.StatusForbidden, Layer: LayerAccess, Code: CodeCondition, Message: "the record does not allow this"}
}

// RefuseDenied refuses a caller whose room this is not: by its id, by a webhook, or by the scope of a ticket.
func RefuseDenied() *Refusal {
	return &Refusal{Status: http.StatusForbidden, Layer: LayerAccess, Code: CodeDenied, Message: "the caller may not open this room"}
}

// RefuseFirewall refuses because there is no row in the caller's scope.
func RefuseFirewall() *Refusal {
	return &Refusal{Status: http.StatusForbidden, Layer: LayerFirewall, Code: CodeFirewall, Message: "the record is not in the caller's scope"}
}

// RefuseNotFound refuses like RefuseFirewall, where rows of others are hidden.
func RefuseNotFound() *Refusal {
	return &Refusal{Status: http.StatusNotFound, Layer: LayerFirewall, Code: CodeNotFound, Message: "there is no such record"}
}

// RefuseRoomID refuses an id that no room of the party has.
func RefuseRoomID() *Refusal {
	return badRoomID("the room id is none of this party's")
}

// RefuseAccessUnavailable refuses because nobody can say now what the caller may do.
func RefuseAccessUnavailable() *Refusal {
	return &Refusal{
		Status: http.StatusServiceUnavailable, Layer: LayerAccess, Code: CodeAccessUnavailable,
		Message: "access cannot be decided now", RetryAfter: retryUnavailable,
	}
}

// Package gate decides on an HTTP request, before any WebSocket upgrade, whether it may reach a room: where it comes
// from (OriginPolicy), which room it names (RoomID), who sent it (Authenticator) and what the caller may do there
// (Authorizer). A Guard puts the last two together for one party, and decides again while a connection is open.
//
// Package gate/identity has the Authenticator of credentials, gate/access the Authorizers of declared resources; both
// know this package and nothing else of ours.
//
// Invariants:
//
//   - The gate stands alone. It imports no other package of this module and starts no goroutine that outlives a call.
//     Every value may be used by any number of requests at once; none but FailureLimit changes after construction.
//   - A room has exactly one id: the path segment percent-decoded once. What RoomID returns is the room's name, its
//     key in the store, the value in the log and what access is decided on. Two spellings are never two rooms.
//   - A refusal is a *Refusal: a status, a layer, a code and a fixed sentence. It carries nothing that the caller did
//     not send, no secret, and no text of an inner error: that is beside it in the error, for logs.
//   - Nothing here falls open: what cannot be parsed is refused, and so is a caller without identity unless a party is
//     public or its Authorizer says that it decides on such callers.
//   - What cannot be known is 503 on a request, and changes nothing on an open connection: a backend that is away
//     admits nobody and closes nobody. What is known without it, that a token has expired, counts all the same.
//   - A ticket is never taken for another credential, nor the reverse, and opens the rooms of its scope alone.
package gate

// Package gate decides on an HTTP request, before any WebSocket upgrade, whether it may reach a room: where it comes
// from (Origin), which room it names (RoomID) and what the caller may do there (Decision).
//
// Invariants:
//
//   - The gate stands alone. It imports no other package of this module, starts no goroutine and holds no state that
//     changes after construction, so every value here may be used by any number of requests at once.
//   - A room has exactly one id: the path segment percent-decoded once. What RoomID returns is the room's name, its
//     key in the store, the value in the log and what access is decided on. Two spellings are never two rooms.
//   - A refusal is a *Refusal: a status, a layer, a code and a fixed sentence. It carries nothing that the caller did
//     not send, and no text of an inner error.
//   - Nothing here falls open: what cannot be parsed is refused.
//
// Rooms are public for now: the only rule of access is Public. Identities, declared resources and tickets will
// have their place in Identity, Request and Decision.
package gate

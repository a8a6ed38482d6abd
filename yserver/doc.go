// Package yserver runs rooms: collaborative documents, spoken to by unmodified
// y-websocket and y-partyserver clients over WebSockets.
//
// A [Server] is an http.Handler. It routes a request to a [Party] (a kind of
// room) and a room id, asks the gate, loads the room from the [Store] and
// only then upgrades the connection.
//
// Invariants:
//
//   - One goroutine owns a room: document, presence, members, log position. It
//     never waits for a peer, for the store or for a hook.
//   - The log comes first: what a client is told to be stored (the echo of its
//     own update, a sync step 2, a sync status) was committed before.
//   - A document that cannot be loaded is refused. It is never opened empty.
//   - One room id has at most one live room in a process, however many clients
//     open it at once.
//   - Whatever a client sends costs that client at most its connection.
//   - What the gate decided holds while a connection is open, and no longer: see
//     below. A credential is in no log, and in nothing that a client sent which
//     hooks or other clients get.
//
// # Access while connected
//
// With a [Party.Guard] the decision about a connection is made again: when its
// time (gate.Decision.Until) is over, every [Config.Recheck], and on
// [Server.Recheck]. A connection that is refused then is closed with 4401, 4403
// or 4404; one that loses the right to write, or gets it, goes on as such, and a
// document's client is told of the loss by the y-protocols auth message. Nobody
// is closed because the gate cannot decide: it is asked again a second later.
// Rooms that hibernate are not woken up for any of this.
//
// At its time a connection to a message room is closed with 4401 "token
// expired"; one to a document goes on for [Party.RefreshGrace]. A client of either
// may bring a new token at any time, by the message
//
//	{"type":"auth:refresh","token":"…"}
//
// which is a text frame in a message room and a custom message (__YPS: before
// it) in a document room. It has to verify to the same user and organisation, and
// is answered in the same way,
//
//	{"type":"auth:refresh","ok":true,"expiresAt":"2026-01-02T12:00:00Z"}
//	{"type":"auth:refresh","ok":false,"code":"AUTH_INVALID","error":"…"}
//
// expiresAt being absent where access does not end. One that fails changes
// nothing. A connection may try five tokens, and one more every ten seconds.
//
// The wire is that of y-protocols (package protocol); documents are kept as
// encoded structs (package protocol/ydoc), never as an object graph.
package yserver

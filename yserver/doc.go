// Package yserver runs rooms: collaborative documents, spoken to by unmodified
// y-websocket and y-partyserver clients over WebSockets.
//
// A [Server] is an http.Handler. It routes a request to a [Party] (a kind of
// room) and a room id, asks the [Gate], loads the room from the [Store] and
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
//
// The wire is that of y-protocols (package protocol); documents are kept as
// encoded structs (package protocol/ydoc), never as an object graph.
package yserver

// Package materialise turns one consolidated state of a Yjs document into what people and programs read (JSON, text, rich
// text as a delta, XML), and makes updates for edits that nobody types: server-side edits and replacing the content of a
// document by that of another, as a restored version is.
//
// A room keeps encoded structs and never needs to know where they stand in their lists. This package does, for one request
// at a time: it integrates the structs of a state as Yjs does (the order of YATA), reads the lists, and forgets them.
//
// Invariants:
//
//   - What is returned is what Yjs would return for the same state. What cannot be rendered or edited rightly is answered with
//     an *UnsupportedError that says what and where: never with wrong content.
//   - Values leave as they came: an edit that copies content copies its bytes.
//   - Every use has a limit of size, of depth and of time, and ends when its context does. A state that is hostile costs
//     the request that asked for it, nothing else.
//   - An edit is handed out only after it was applied: it is integrated anew together with the state that it was made for,
//     and a second, independent implementation of Yjs (y-crdt) must come to the same result.
//   - y-crdt is used in one file and for this one thing. It sees one whole state that our own decoder has accepted, in a
//     goroutine of its own. A run of it that does not end is given up and counted, and when too many do not end, further
//     edits are refused. Edits are made one at a time in the process.
//
// Clients, names and words are those of Yjs. Positions and lengths in text are UTF-16 code units.
package materialise

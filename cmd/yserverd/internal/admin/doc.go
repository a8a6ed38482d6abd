// Package admin is the HTTP API with which people and programs operate a server: its figures, and a copy of its embedded
// store while it runs. More comes; the whole of it is under <path>/v1, described by <path>/v1/openapi.json.
//
// Invariants:
//
//   - Nothing is answered without a token that holds, not even that a path does not exist. Tokens come in the header
//     Authorization and nowhere else, only their digests are known, and all of them are compared, in constant time.
//   - A token that may only read gets nothing done, and no copy of the store, which is more than reading a document.
//   - Every request that changes something, and every backup, is a line of the log with the token's name, once it ended.
//   - Errors have the body of package gate. They tell no secret and no text of an inner error.
//   - What is asked of it costs a bounded amount of memory and disk: bodies, backups at once and remembered addresses
//     are limited.
//   - Close ends what is under way, and waits for it: nothing of the store is used behind it.
//
// The package knows neither rooms nor stores: package main gives it functions.
package admin

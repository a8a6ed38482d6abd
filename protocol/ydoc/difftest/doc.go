// Package difftest holds the struct store of package ydoc to real Yjs. It has tests only.
//
// Node (fixtures/yjs/differential.mjs) simulates rooms: clients that are documents of real Yjs, with every type and kind of
// value, online, offline and reordered, and for a server the store in the test process, reached through a pipe. At the end
// of a session new documents made of the store's state, its diffs and its compacted state must read as the original does,
// and so must all clients, which saw only what the store said is new.
//
// The test process checks, beside, what can be seen from within: that what is relayed and what is logged are each enough to
// build the document again, that a refused update changes nothing, that inputs stay as they are, that counters are right.
//
// A finding ends with the operations that lead to it, shrunk to few, and the flags that replay them:
//
//	go test ./protocol/ydoc/difftest -sessions 600 -seed 1      sessions, from a seed
//	go test ./protocol/ydoc/difftest -seed 1 -only 17           one of them
//	go test ./protocol/ydoc/difftest -script FILE               a session as it was written to a file
//	go test ./protocol/ydoc/difftest -long                      more of them
package difftest

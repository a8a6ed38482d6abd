// Package difftest holds package materialise to real Yjs. It has tests only.
//
// Node (fixtures/yjs/materialise.mjs) makes documents in random sessions of several clients and has the test process render,
// edit and replace them, through a pipe. Renderings must be those of Yjs, an edit must come out as the same edit made in Yjs
// does, and a replacement applied to the document in Yjs must give the target.
//
//	go test ./yserver/materialise/difftest -seed 1 -sessions 300
package difftest

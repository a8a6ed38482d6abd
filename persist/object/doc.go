// Package object has what log stores put beside their rows: the snapshots and versions of documents, each an immutable
// object in a Bucket. It says how such an object is encoded, what it is called, and what is asked of a bucket; it stores
// nothing itself.
//
// Invariants:
//
//   - An object is what its row says: Decode looks at the bytes only when their sum is the one it was given, and that comes
//     from the row.
//   - Decoding takes no more memory than the caller allows, whatever the bytes.
//   - A name tells store, document, epoch, sequence number and sum, so that two different objects never have one name.
//     ParseName takes nothing that String does not return.
//   - Names are ASCII of few kinds, and short enough for any object store and file system.
package object

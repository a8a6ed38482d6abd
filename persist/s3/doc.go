// Package s3 keeps the objects of log stores in an S3 bucket. It implements object.Bucket with single puts that never
// overwrite (If-None-Match: *), gets, deletes of one object each, and listings: what every server of that kind has that
// honours conditional puts, which Check finds out.
//
// Invariants:
//
//   - No request lasts longer than its time: Options.Timeout, and what its bytes take at Options.MinRate.
//   - That an object is not there is only said when a listing of the bucket says so too: a reverse proxy or a bucket that
//     went away would look the same otherwise, and a document is taken out of service over it.
//   - Errors say what to do about them, and no key is in them. Whatever the server refuses or the network does matches
//     persist.ErrUnavailable, since whoever runs the server can put it right.
//   - After a request that the network has failed, new connections are made.
//
// A bucket that keeps versions of its objects keeps what is deleted too: it needs a lifecycle rule that expires them.
package s3

// Package s3test runs a private S3 server for tests: versitygw over a temporary folder, on a free port of the loopback
// interface, with buckets that tests get fresh.
//
// Invariants:
//
//   - A conditional put is atomic: the server does one thing at a time, since it would not be otherwise.
//   - The process has one shared server, which is started when the first test asks for it and goes with Main. A server
//     that a test started goes with that test. On Linux none outlives the process, however that ends.
//   - A server keeps its address and its objects from one start to the next. It does not sync what it stores.
//   - Where versitygw is missing a test is skipped with the reason; with YSERVERD_TEST_REQUIRE=1 it fails.
//
// The program is looked for in .cache/bin of the repository, where "make needs" builds it, and on PATH.
package s3test

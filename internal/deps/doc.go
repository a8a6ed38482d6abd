// Package deps holds the tests of the architecture: which package may import which, what may be linked into the server,
// and which folders the repository has. The rules stand in rules_test.go, each with its reason.
package deps

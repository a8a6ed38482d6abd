// Package e2e tests the built server from outside, with real clients in Node:
// what a user of it may rely on when it is killed.
package e2e

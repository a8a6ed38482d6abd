// Package e2e tests the built server from outside, with real clients in Node:
// what a user of it may rely on when it is killed, and
// when what it stores in is killed or hard to reach.
package e2e

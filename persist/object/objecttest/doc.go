// Package objecttest holds every object store to the contract of object.Bucket.
//
// Run is one behavioural suite for all of them. Memory is a bucket that passes it and keeps nothing, and Faulty makes any
// bucket fail, hang and lose its answers on demand. It is imported by tests only.
package objecttest

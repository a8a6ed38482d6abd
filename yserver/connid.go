package yserver

import "crypto/rand"

// connectionIDLength is that of nanoid, which names connections in partyserver.
const connectionIDLength = 21

// newConnectionID returns a random id of nanoid's alphabet.
func newConnectionID() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
	var id [connectionIDLength]byte
	_, _ = rand.Read(id[:]) // never fails: it ends the process instead
	for i, b := range id {
		id[i] = alphabet[b&63]
	}
	return string(id[:])
}

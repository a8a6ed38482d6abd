package ydoc

import (
	"math"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// Config bounds a document. The zero value is what a server should use.
type Config struct {
	// MaxBytes is how many bytes the encoded document and what is parked may have together, but for some bytes per client.
	// Zero means 256 MiB.
	MaxBytes int64
	// MaxPendingBytes is how many encoded bytes may be parked. Zero means 8 MiB.
	MaxPendingBytes int64
	// MaxPending is how many runs of structs and delete ranges may be parked. Zero means 262,144.
	MaxPending int
	// Nesting is how many arrays and objects may be inside each other within one value. Zero means 512.
	Nesting int
	// MaxClients is how many clients a document, and an update, may have. Each costs up to 190 bytes of memory for as little
	// as six on the wire. Zero means 131,072.
	MaxClients int
	// KeepDeleted keeps the content of what is deleted through compaction, for apps that make snapshots (a Y.Doc with
	// gc: false).
	KeepDeleted bool
}

func (c Config) withDefaults() Config {
	if c.MaxBytes <= 0 {
		c.MaxBytes = 256 << 20
	}
	if c.MaxPendingBytes <= 0 {
		c.MaxPendingBytes = 8 << 20
	}
	if c.MaxPending <= 0 {
		c.MaxPending = 1 << 18
	}
	if c.Nesting <= 0 {
		c.Nesting = 512
	}
	if c.MaxClients <= 0 {
		c.MaxClients = 1 << 17
	}
	return c
}

// unlimited accepts whatever was accepted once.
var unlimited = Config{
	MaxBytes: math.MaxInt64, MaxPendingBytes: math.MaxInt64, MaxPending: math.MaxInt32 / 2, MaxClients: math.MaxInt32 / 2,
	Nesting: lib0.MaxDepth,
}

// limits returns what the decoder is to hold an update against. A full document may name more clients than it has, for
// what is parked; how many of them are new is counted one by one.
func (c *Config) limits() update.Limits {
	return update.Limits{Nesting: c.Nesting, Clients: c.MaxClients + c.MaxPending}
}

// Package archive is the form in which a copy of the embedded store travels: a tar stream that says at its end what it
// held, so that a copy which broke off is never taken for a whole one.
//
// The stream has, in this order:
//
//	yserverd-backup.json        a Header: what this is, how many files and bytes follow
//	<file of the store>...      regular files, without folders
//	yserverd-backup-end.json    an End: name, size and SHA-256 of every file
//	two blocks of zeros         the end of the tar
//
// Unpacked by tar into an empty folder it is a data folder: the store passes over the two files that are not its own.
//
// Invariants:
//
//   - Write ends the stream only when every file was read whole; what it returns an error for has no end.
//   - Unpack takes a stream only if it is whole to its last byte, and has exactly the files that its End names.
//   - Unpack makes files in the folder that it is given and nowhere else, and replaces none.
package archive

import (
	"errors"
	"fmt"
	"time"
)

// Format is the version of the layout above.
const Format = 1

// The files of the archive that are not the store's.
const (
	headerName = "yserverd-backup.json"
	endName    = "yserverd-backup-end.json"
)

// Bounds of what Unpack keeps in memory.
const (
	maxHeader = 64 << 10
	maxEnd    = 256 << 20 // over a million files
	maxName   = 255
)

// ErrBroken is matched by the errors of streams that are not a whole archive.
var ErrBroken = errors.New("the copy is not whole")

// broken says what is missing or wrong.
func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrBroken, fmt.Errorf(format, args...))
}

// Header says what an archive is. Files and Bytes are filled in by Write.
type Header struct {
	Format  int       `json:"format"`  // Format
	Server  string    `json:"server"`  // version of the program that made it
	Store   string    `json:"store"`   // identity of the store: objects in a bucket are under it
	Started time.Time `json:"started"` // everything that was acknowledged before is in the copy
	Bucket  bool      `json:"bucket"`  // snapshots are in a bucket besides, and not in this copy
	Files   int       `json:"files"`   // of the store
	Bytes   int64     `json:"bytes"`   // of these files
}

// File is what an End says of one file.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // in hex
}

// End is the last entry of an archive.
type End struct {
	Files []File `json:"files"`
}

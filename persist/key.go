package persist

import (
	"fmt"
	"strings"
)

// MaxNameBytes bounds a party's and a room's name, each, in bytes.
const MaxNameBytes = 1024

// Key names a document: the party (the binding's kebab-case name) and the room.
// Both may hold any bytes but NUL; they are compared byte by byte, without
// normalisation. The zero Key is not valid.
type Key struct {
	Party, Room string
}

// String is the key for people: party, slash, room. It is not unambiguous,
// since both may contain slashes.
func (k Key) String() string { return k.Party + "/" + k.Room }

// Validate returns an error that matches ErrInvalid when a name is empty, longer
// than MaxNameBytes or contains NUL.
func (k Key) Validate() error {
	if err := validateName("party", k.Party); err != nil {
		return err
	}
	return validateName("room", k.Room)
}

// ValidateParty checks a party alone, as Validate does.
func ValidateParty(party string) error { return validateName("party", party) }

func validateName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: %s is empty", ErrInvalid, what)
	case len(name) > MaxNameBytes:
		return fmt.Errorf("%w: %s of %d bytes, more than %d", ErrInvalid, what, len(name), MaxNameBytes)
	case strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("%w: %s contains NUL", ErrInvalid, what)
	}
	return nil
}

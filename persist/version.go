package persist

import (
	"fmt"
	"time"
)

// MaxVersionIDBytes bounds the id of a version.
const MaxVersionIDBytes = 64

// Version describes a whole state of a document that was kept under a name.
type Version struct {
	ID        string    // drawn by its maker, unique in its document
	Name      string    // for people; may be empty
	Author    string    // for people; may be empty
	Automatic bool      // made by a schedule, not by a person
	Created   time.Time // kept in whole milliseconds, rounded down, and returned in UTC
	Epoch     Epoch     // of the state
	Seq       Seq       // of the state
	Bytes     int64     // of the state; PutVersion ignores it
}

// ValidateVersionID returns an error that matches ErrInvalid unless the id is 1
// to MaxVersionIDBytes letters, digits, '_' and '-' of ASCII.
func ValidateVersionID(id string) error {
	if len(id) == 0 || len(id) > MaxVersionIDBytes {
		return fmt.Errorf("%w: version id of %d bytes", ErrInvalid, len(id))
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return fmt.Errorf("%w: version id %q", ErrInvalid, id)
		}
	}
	return nil
}

// Validate returns an error that matches ErrInvalid when the id is not one, a
// name is longer than MaxNameBytes or contains NUL, or Created is zero or not in
// the years 1970 to 9999.
func (v *Version) Validate() error {
	if err := ValidateVersionID(v.ID); err != nil {
		return err
	}
	for _, n := range []struct{ what, name string }{{"version name", v.Name}, {"version author", v.Author}} {
		if n.name == "" {
			continue
		}
		if err := validateName(n.what, n.name); err != nil {
			return err
		}
	}
	if v.Created.IsZero() {
		return fmt.Errorf("%w: version without a time", ErrInvalid)
	}
	return ValidateAlarm(v.Created)
}

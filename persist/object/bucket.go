package object

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/yserverd/yserverd/persist"
)

// MaxListLimit bounds a page of List, in objects.
const MaxListLimit = 1000

// MaxNameBytes bounds what a Bucket takes for a name. Object stores take 1024 with whatever prefix is put in front.
const MaxNameBytes = 768

// ErrExists says that there is another object of that name.
var ErrExists = errors.New("object exists with other content")

// Bucket is what log stores need of an object store. Its methods may be called from any goroutine; arguments are only
// read, and not kept. They return the context's error once the context is done, and may then have had their effect.
// persist.ErrUnavailable: the store refuses to work for now, retrying is right. persist.ErrInvalid: the name is none, see
// ValidateName.
type Bucket interface {
	// Put stores an object durably. It never overwrites: without an error the object is there as given, whoever stored it,
	// so that repeating it after an unknown outcome is right. ErrExists: another one has the name.
	Put(ctx context.Context, name string, stored []byte) error

	// Get returns an object, which is the caller's. persist.ErrNotFound: the store has said that there is none. An object of
	// more than most bytes is a *DamageError that matches ErrTooLarge.
	Get(ctx context.Context, name string, most int64) ([]byte, error)

	// Delete drops objects; those that are not there are dropped already. After an error any of them may be there.
	Delete(ctx context.Context, names []string) error

	// List returns the objects whose names begin with prefix, in the order of the names' bytes, and of these those behind
	// after (empty: all of them), at most limit. MaxListLimit is never exceeded, and is meant by zero or less. A page with
	// fewer than the limit is the last one. Objects that come and go between pages cause no other to be missed or repeated.
	List(ctx context.Context, prefix, after string, limit int) ([]Info, error)

	// Check reports whether objects can be read, written and dropped here, and whether Put keeps its word. Its error says
	// what to do. It leaves nothing behind.
	Check(ctx context.Context) error
}

// Info describes an object.
type Info struct {
	Name     string
	Size     int64     // of the stored bytes
	Modified time.Time // when it was put, by the clock of the object store
}

// PageLimit turns the limit that List was given into the one it keeps to.
func PageLimit(limit int) int {
	if limit <= 0 {
		return MaxListLimit
	}
	return min(limit, MaxListLimit)
}

// ValidateName returns an error that matches persist.ErrInvalid for what no Bucket takes as a name: it may have letters,
// digits and "-._~%", in segments between slashes that are neither empty nor dots alone.
func ValidateName(name string) error {
	if len(name) > MaxNameBytes {
		return fmt.Errorf("%w: name of %d bytes, more than %d", persist.ErrInvalid, len(name), MaxNameBytes)
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("%w: name %q has an empty segment", persist.ErrInvalid, name)
		}
		for i := range len(segment) {
			if c := segment[i]; !plain(c) && c != '%' && c != '~' && c != '.' {
				return fmt.Errorf("%w: name %q has a byte that names do not have", persist.ErrInvalid, name)
			}
		}
	}
	return nil
}

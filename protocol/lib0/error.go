package lib0

import (
	"errors"
	"strconv"
)

// Kind is an enumeration of what bytes can be refused for. Each format that is built on lib0 has one, counted from 1.
type Kind interface {
	~uint8
	// String returns the kind in words.
	String() string
	// Package returns the name of the package that reads the format.
	Package() string
	// Class returns the error that stands for all kinds of a class, for errors.Is, or nil.
	Class() error
}

// KindError is the error of bytes that could not be read, in this package and in those that build on it. Offset is where,
// in the bytes that were given, the part begins that was refused.
type KindError[K Kind] struct {
	Kind   K
	Offset int
}

// Error implements error.
func (e *KindError[K]) Error() string {
	return e.Kind.Package() + ": " + e.Kind.String() + " at byte " + strconv.Itoa(e.Offset)
}

// Is reports whether target is the kind's class, or an error of the same kind, whatever the offset: so that
// errors.Is(err, &Error{Kind: ErrEnd}) works.
func (e *KindError[K]) Is(target error) bool {
	if t, ok := target.(*KindError[K]); ok {
		return t.Kind == e.Kind
	}
	return target == e.Kind.Class()
}

// KindText returns a kind's text out of a table, and something for a kind that is not in it.
func KindText[K ~uint8](texts []string, kind K) string {
	if int(kind) < len(texts) && texts[kind] != "" {
		return texts[kind]
	}
	return "unknown fault"
}

// Lift turns an error of this package into one of the format that was being read. kinds has the format's kind for each
// of those here; one that is not in it becomes otherwise. base, where the value lies within the format's bytes, is added
// to the offset. Other errors are returned as they are.
func Lift[K Kind](err error, base int, kinds []K, otherwise K) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	kind := otherwise
	if int(e.Kind) < len(kinds) && kinds[e.Kind] != 0 {
		kind = kinds[e.Kind]
	}
	return &KindError[K]{Kind: kind, Offset: base + e.Offset}
}

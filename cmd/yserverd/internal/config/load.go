package config

import (
	"errors"
	"io/fs"
	"os"

	"github.com/knadh/koanf/v2"
)

// Options say where a configuration comes from. All are required.
type Options struct {
	// Environ is the environment, as os.Environ returns it.
	Environ []string
	// PartyName makes the name of a party out of that of its binding.
	PartyName func(binding string) string
}

// Load reads the file at path and the environment over it. An error about what they say is an Errors.
func Load(path string, o Options) (*Config, error) {
	c, problems := Read(path, o)
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// Read is Load for those who look for more mistakes: beside the problems it returns the configuration as far as it was
// understood, or nil if nothing of it was. Nothing may be started with a configuration that has problems.
func Read(path string, o Options) (*Config, Errors) {
	text, err := os.ReadFile(path)
	if err != nil {
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err // the name is in the problem
		}
		return nil, Errors{{File: path, Message: err.Error()}}
	}
	return parse(path, text, o)
}

// Parse is Load for a text. The name stands for the file in errors.
func Parse(name string, text []byte, o Options) (*Config, error) {
	c, problems := parse(name, text, o)
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// parse is Read for a text.
func parse(name string, text []byte, o Options) (*Config, Errors) {
	l := &loader{
		file: name, environ: newEnvironment(o.Environ), partyName: o.PartyName,
		lines: make(map[string]int), variables: make(map[string]string), undecoded: make(map[string]bool), shorthands: make(map[string]path), aliases: make(map[string]path),
	}
	k := koanf.New(delim)
	if err := k.Load(source(text), (*parser)(l)); err != nil {
		return nil, l.giveUp(err)
	}
	if err := k.Load(l.environmentProvider(k), nil); err != nil {
		return nil, l.giveUp(err)
	}
	c := Default()
	l.decode(k.Raw(), c)
	l.validate(c)
	c.Warnings = l.warnings.Sorted()
	c.places = l.place
	return c, l.problems.Sorted()
}

// source is a text as a provider of koanf.
type source []byte

// ReadBytes returns the text.
func (s source) ReadBytes() ([]byte, error) { return s, nil }

// Read is not supported: a text needs a parser.
func (s source) Read() (map[string]any, error) { return nil, errors.New("a text needs a parser") }

// loader collects what is known about one configuration while it is read.
type loader struct {
	file      string
	environ   environment
	partyName func(string) string

	lines      map[string]int    // line of a key, by path
	variables  map[string]string // environment variable that set a key, by path
	shorthands map[string]path   // where a table stands whose feature has no other, by the path of the table
	aliases    map[string]path   // where a condition stands that the file has in another form, by the path of its first form
	foreign    []string          // what came from the environment
	undecoded  map[string]bool   // values that could not be used and have their default, by path
	problems   Errors
	warnings   Errors
}

// fail reports a mistake at a path, unless what stands there, or around it, could not be used in the first place.
func (l *loader) fail(p path, message string) {
	for up := p; len(up) > 0; up = up[:len(up)-1] {
		if l.undecoded[up.join()] {
			return
		}
	}
	l.problems = append(l.problems, l.problem(p, message))
}

// warn reports what deserves a look at a path.
func (l *loader) warn(p path, message string) { l.warnings = append(l.warnings, l.problem(p, message)) }

// reject reports a value that has no use: the wrong type, or a key that has no place.
func (l *loader) reject(p path, message string) {
	l.fail(p, message)
	l.undecoded[p.join()] = true
}

// problem places a message: at the variable that set the key or at its line, or at those of the nearest key above it
// that has one.
func (l *loader) problem(p path, message string) Problem {
	for up := p; len(up) > 0; up = up[:len(up)-1] {
		if variable, ok := l.variables[up.join()]; ok {
			return Problem{File: variable, Key: p.String(), Message: message}
		}
		if line := l.lines[up.join()]; line > 0 {
			return Problem{File: l.file, Line: line, Key: p.String(), Message: message}
		}
	}
	return Problem{File: l.file, Key: p.String(), Message: message}
}

// giveUp returns the problems of a configuration that could not be read to its end.
func (l *loader) giveUp(err error) Errors {
	if len(l.problems) == 0 {
		l.problems = Errors{{File: l.file, Message: err.Error()}}
	}
	return l.problems.Sorted()
}

package e2e_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// What is done to a document beside editing it.
const (
	opVersion   = "version"   // keep it as a version
	opUnversion = "unversion" // drop a version
	opWrite     = "write"     // set its mark, as a client would
	opReplace   = "replace"   // make it a document that has a mark and no text
	opRestore   = "restore"   // make it what a version was
	opImport    = "import"    // begin a new epoch with such a document
	opDelete    = "delete"
	opUndelete  = "undelete"
	opPurge     = "purge"
	opRest      = "rest" // leave it alone for a while
)

// The kinds of rooms, by the first part of their names.
const (
	roomKept = "kept" // versions of it are kept, and it is edited by clients
	roomLive = "live" // it is replaced and restored while they edit
	roomDead = "dead" // it is deleted, undeleted and purged
	roomNew  = "new"  // it begins new epochs
)

// kinds says what is done to which kind of room while it is present.
var kinds = map[string][]string{
	roomKept: {opVersion, opVersion, opUnversion},
	roomLive: {opVersion, opReplace, opRestore, opWrite, opUnversion},
	roomDead: {opWrite, opVersion, opDelete, opDelete, opPurge, opRest},
	roomNew:  {opImport, opVersion, opRestore, opWrite, opRest},
}

type presence int

const (
	present presence = iota
	deleted          // there is a tombstone
	gone
)

// typing is what must be of what the clients wrote.
type typing int

const (
	typed    typing = iota // all that is acknowledged, once
	edited                 // their structs; others have deleted some of it
	left                   // nothing
	restored               // a version had it, so there may be some; no struct is theirs
)

// keptVersion is a version whose maker was told that it is stored.
type keptVersion struct {
	Mark int
	Sum  string
	Has  typing
}

// life is what a document should be.
type life struct {
	is       presence
	epoch    uint64
	mark     int
	has      typing
	versions map[string]keptVersion
	unnamed  int // versions whose maker was not told their ids
}

// deed is one of the things that are done, and what came of it.
type deed struct {
	Room  string
	Op    string
	Mark  int    // write, replace, import
	ID    string // of the version
	Sum   string // of its state
	Ended bool
	Gone  bool   // the tombstone had been swept
	Wrong string // what must not be
}

func (d deed) String() string { return fmt.Sprintf("%s of mark %d, version %q", d.Op, d.Mark, d.ID) }

// after returns the life after a deed, which is left as it is.
func (l life) after(d deed) life {
	l.versions = maps.Clone(l.versions)
	switch d.Op {
	case opVersion:
		if !d.Ended {
			l.unnamed++
			break
		}
		if l.versions == nil {
			l.versions = map[string]keptVersion{}
		}
		l.versions[d.ID] = keptVersion{l.mark, d.Sum, l.has}
	case opUnversion:
		delete(l.versions, d.ID)
	case opWrite:
		l.is, l.mark = present, d.Mark
	case opReplace:
		l.mark, l.has = d.Mark, l.has.over(left)
	case opRestore:
		v := l.versions[d.ID]
		l.mark, l.has = v.Mark, l.has.over(v.Has)
	case opImport:
		l.epoch, l.mark, l.has = l.epoch+1, d.Mark, left
	case opDelete:
		l.is, l.epoch = deleted, l.epoch+1
	case opUndelete:
		l.is = present
	case opPurge:
		return life{is: gone, has: left}
	}
	if d.Gone {
		return life{is: gone, has: left}
	}
	return l
}

// over is what there is after an edit brought in what something else had.
func (t typing) over(other typing) typing {
	switch {
	case t == typed, t == edited:
		return edited
	case other == left:
		return t
	}
	return restored
}

// outcomes are the lives that a document may have after a kill: the last that
// somebody was told, or that behind what was under way; a sweep may have had the
// tombstone.
func (l life) outcomes(began *deed) []life {
	all := []life{l}
	if began != nil {
		all = append(all, l.after(*began))
	}
	for _, o := range slices.Clone(all) {
		if o.is == deleted {
			all = append(all, life{is: gone, has: left})
		}
	}
	return all
}

// next chooses what to do.
func (l life) next(kind, room string, mark int, rng *rand.Rand) deed {
	ops := kinds[kind]
	switch l.is {
	case deleted:
		ops = []string{opUndelete, opUndelete, opPurge, opRest, opRest}
	case gone:
		ops = []string{opWrite}
	}
	for {
		d := deed{Room: room, Op: ops[rng.IntN(len(ops))]}
		switch d.Op {
		case opWrite, opReplace, opImport:
			d.Mark = mark
		case opRestore, opUnversion:
			if len(l.versions) == 0 || d.Op == opUnversion && len(l.versions) < 3 {
				continue
			}
			ids := slices.Sorted(maps.Keys(l.versions))
			d.ID = ids[rng.IntN(len(ids))]
		}
		return d
	}
}

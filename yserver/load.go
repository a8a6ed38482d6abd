package yserver

import (
	"context"
	"errors"
	"fmt"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// errCorrupt means that what the store has of a document does not decode. The
// document is refused, and its bytes stay as they are.
var errCorrupt = errors.New("stored document does not decode")

// loaded is a document from the store.
type loaded struct {
	doc       *ydoc.Doc
	seq       persist.Seq
	epoch     persist.Epoch
	first     persist.Seq // at which the epoch began; the document is new while seq is that
	denied    denyList
	tailRows  int
	tailBytes int64
}

// loadRoom loads what a room needs before anybody is let in, and starts it. One
// that hibernated (d) gets its members back; its document can wait.
func (s *Server) loadRoom(p *party, e *entry, d *dormant) (*room, error) {
	var (
		r   *room
		err error
	)
	if p.Document != nil {
		r, err = s.loadDocumentRoom(p, e, d)
	} else {
		r, err = s.loadMessageRoom(p, e, d)
	}
	if err != nil {
		return nil, err
	}
	if d != nil {
		r.revive(d)
	}
	s.rooms.Add(1)
	go func() {
		defer s.rooms.Done()
		r.run()
	}()
	return r, nil
}

func (s *Server) loadDocumentRoom(p *party, e *entry, d *dormant) (*room, error) {
	if d != nil {
		r := newDocumentRoom(s, p, e)
		kept := d.kept.(slumber)
		r.presence = kept.presence
		r.journal.epoch, r.journal.seq = kept.epoch, kept.seq
		if last := d.events; last.Before(r.used) {
			r.used = last
		}
		return r.room, nil
	}
	l, err := s.loadDocument(p, e.id)
	if err != nil {
		return nil, err
	}
	r := newDocumentRoom(s, p, e)
	r.open(l)
	return r.room, nil
}

// loadDocument loads a document, or says in the log why it cannot.
func (s *Server) loadDocument(p *party, id roomID) (l loaded, err error) {
	if s.counters.documentBytes.Load() > s.cfg.Limits.DocumentBytes {
		return loaded{}, errTooManyBytes
	}
	ctx, cancel := context.WithTimeout(s.loads, s.cfg.LoadTimeout)
	defer cancel()
	unlock, err := s.lives.lock(ctx, id) // not while its epoch is being ended
	if err == nil {
		l, err = s.fetch(ctx, p, id)
		unlock()
	}
	if err != nil {
		s.counters.loadFailures.Add(1)
		s.log.Error("document cannot be loaded", "party", id.party, "room", id.room, "err", err)
		return loaded{}, err
	}
	s.counters.loads.Add(1)
	return l, nil
}

// fetch loads a document from the store, and gives a new one its content.
func (s *Server) fetch(ctx context.Context, p *party, id roomID) (loaded, error) {
	key := persist.Key{Party: id.party, Room: id.room}
	stored, err := s.cfg.Store.Load(ctx, key)
	if err != nil {
		return loaded{}, err
	}
	l, err := replay(stored, p.docConfig())
	if err != nil {
		s.quarantine(ctx, key, err)
		return loaded{}, err
	}
	if p.Document.OnLoad == nil {
		return l, nil
	}
	seed, err := awaitHook(ctx, s, min(hookGrace, s.cfg.LoadTimeout), func() ([]byte, error) {
		return p.Document.OnLoad(ctx, &Room{srv: s, party: p, id: id})
	})
	if err != nil {
		return loaded{}, fmt.Errorf("onLoad: %w", err)
	}
	if l.seq > l.first || len(seed) == 0 {
		return l, nil // it is no longer new, or there is nothing to begin with
	}
	return s.seed(ctx, p, key, l, seed)
}

// quarantiner is a store that can take a document out of service, its bytes kept
// as they are.
type quarantiner interface {
	Quarantine(ctx context.Context, key persist.Key, reason string) error
}

// quarantine takes a document out of service that the store could verify and
// the engine cannot decode.
func (s *Server) quarantine(ctx context.Context, key persist.Key, cause error) {
	q, ok := s.cfg.Store.(quarantiner)
	if !ok || !errors.Is(cause, errCorrupt) {
		return
	}
	if err := q.Quarantine(ctx, key, cause.Error()); err != nil {
		s.log.Error("document cannot be quarantined", "party", key.Party, "room", key.Room, "err", err)
	}
}

// replay makes the document of a snapshot and the rows behind it.
func replay(stored persist.Document, cfg ydoc.Config) (loaded, error) {
	l := loaded{doc: ydoc.New(cfg), seq: stored.Seq, epoch: stored.Epoch, first: stored.First, tailRows: len(stored.Tail)}
	if stored.Snapshot.Data != nil {
		if err := l.doc.Restore(stored.Snapshot.Data); err != nil {
			return loaded{}, fmt.Errorf("%w: snapshot at %d: %w", errCorrupt, stored.Snapshot.Seq, err)
		}
	}
	for _, row := range stored.Tail {
		if err := l.doc.Restore(row.Data); err != nil {
			return loaded{}, fmt.Errorf("%w: row %d: %w", errCorrupt, row.Seq, err)
		}
		l.tailBytes += int64(len(row.Data))
	}
	l.denied = newDenyList(stored.Dead, l.doc)
	return l, nil
}

// seed stores the initial content of a new document, before anybody is let in.
// It is appended as the first row or not at all, so no restart and no race of
// servers doubles it: whoever comes second loads what the first wrote.
func (s *Server) seed(ctx context.Context, p *party, key persist.Key, l loaded, seed []byte) (loaded, error) {
	applied, err := l.doc.Apply(seed)
	if err != nil {
		return loaded{}, fmt.Errorf("onLoad: its update does not apply: %w", err)
	}
	if applied.Log == nil {
		return l, nil
	}
	results, err := s.cfg.Store.Append(ctx, []persist.Append{{Key: key, Epoch: l.epoch, After: l.seq, Updates: [][]byte{applied.Log}}})
	if err == nil {
		err = results[0].Err
	}
	if errors.Is(err, persist.ErrConflict) {
		stored, err := s.cfg.Store.Load(ctx, key)
		if err != nil {
			return loaded{}, err
		}
		return replay(stored, p.docConfig())
	}
	if err != nil {
		return loaded{}, fmt.Errorf("store initial content: %w", err)
	}
	l.seq = results[0].Seq
	l.tailRows, l.tailBytes = 1, int64(len(applied.Log))
	return l, nil
}

// docConfig is how the documents of the party are kept.
func (p *party) docConfig() ydoc.Config {
	return ydoc.Config{
		MaxBytes:        p.Limits.Document,
		MaxPendingBytes: p.Limits.Pending,
		Nesting:         p.Limits.Nesting,
		KeepDeleted:     p.Document.KeepDeleted,
	}
}

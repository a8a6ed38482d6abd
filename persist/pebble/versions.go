package pebble

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

// PutVersion implements persist's contract. The state is written first, see
// deposit.
func (s *Store) PutVersion(ctx context.Context, k persist.Key, v persist.Version, state []byte) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	err := errors.Join(ctx.Err(), v.Validate(), checkState(k, state))
	if err == nil {
		err = s.putVersion(ctx, k, v, state)
	}
	if err != nil {
		return fmt.Errorf("put version %q: %w", v.ID, err)
	}
	return nil
}

// errThere: there is a version of that id.
var errThere = errors.New("version exists")

func (s *Store) putVersion(ctx context.Context, k persist.Key, v persist.Version, state []byte) error {
	unlock, err := s.lockDocument(ctx, k)
	if err != nil {
		return err
	}
	defer unlock()
	d := s.newDeposit(k, state, func(h *head) error { return s.takesVersion(ctx, k, h, v.ID) })
	d.object = func(_ *head, sum [sha256.Size]byte) string { return object.VersionName(s.uuid, k, v.ID, sum) }
	var e *entry
	if err = d.stage(ctx); err == nil {
		e, err = d.begin(ctx)
	}
	if err != nil {
		d.discard()
		if errors.Is(err, errThere) {
			return s.settled(ctx, k) // it may be that of a call whose outcome is unknown
		}
		return err
	}
	b := s.db.NewBatchWithSize(d.batchSize() + len(v.Name) + len(v.Author))
	d.add(b, &e.state)
	created := uint64(v.Created.UnixMilli())
	key := appendVersionKey(nil, e.state.id, created, v.ID)
	_ = b.Set(key, appendRecord(nil, key, appendVersion(nil, &version{v, d.place})), nil) // none of these fail on such a batch
	key = appendVersionIDKey(nil, e.state.id, v.ID)
	_ = b.Set(key, appendTime(nil, key, created), nil)
	s.ticket++
	s.heads.put(e, s.ticket, s.durable.n.Load())
	return s.wait(ctx, s.queue(b, s.ticket))
}

// takesVersion says whether a version of that id can be put. The write lock is
// held.
func (s *Store) takesVersion(ctx context.Context, k persist.Key, h *head, id string) error {
	switch {
	case h.id == 0:
		return persist.ErrNotFound
	case h.deleted != 0:
		return persist.ErrDeleted
	}
	if err := s.await(ctx, &s.applied, s.heads.ticket(k)); err != nil {
		return err
	}
	found, err := s.read(appendVersionIDKey(nil, h.id, id), func([]byte) error { return nil })
	if err == nil && found {
		err = errThere
	}
	return err
}

// viewVersions calls fn with a reader and the document's number, zero if there is
// no document. One that is out of service has versions too.
func (s *Store) viewVersions(ctx context.Context, k persist.Key, fn func(r *reader, id uint64) error) error {
	if err := errors.Join(ctx.Err(), k.Validate()); err != nil {
		return err
	}
	return s.viewAny(ctx, k, func(r *reader) error {
		h, err := r.head()
		switch {
		case errors.Is(err, persist.ErrCorrupt):
			if h.id = s.numberOf(appendNameKey(nil, kindHead, k)); h.id == 0 {
				return err
			}
		case err != nil:
			return err
		case h.deleted != 0:
			return persist.ErrDeleted
		}
		return fn(r, h.id)
	})
}

// Versions implements persist's contract. What does not verify is listed by its
// id and time.
func (s *Store) Versions(ctx context.Context, k persist.Key, cursor string, limit int) (page []persist.Version, next string, err error) {
	if err := s.enter(); err != nil {
		return nil, "", err
	}
	defer s.leave()
	var behind []byte
	if cursor != "" {
		if behind, err = parseVersionCursor(cursor); err != nil {
			return nil, "", fmt.Errorf("versions: %w", err)
		}
	}
	err = s.viewVersions(ctx, k, func(r *reader, id uint64) (err error) {
		if id != 0 {
			page, next, err = r.versions(id, behind, persist.PageLimit(limit))
		}
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("versions: %w", err)
	}
	return page, next, nil
}

func (r *reader) versions(id uint64, behind []byte, limit int) (page []persist.Version, next string, err error) {
	lower, upper := numberBounds(kindVersion, id)
	if behind != nil {
		upper = append(appendNumberKey(nil, kindVersion, id), behind...)
	}
	r.it.SetBounds(lower, upper)
	for ok := r.it.Last(); ok; ok = r.it.Prev() {
		if err := r.ctx.Err(); err != nil {
			return nil, "", err
		}
		if len(page) == limit {
			return page, formatVersionCursor(&page[limit-1]), nil
		}
		value, err := r.it.ValueAndErr()
		var v version
		if err == nil {
			v, err = parseVersion(r.it.Key(), value)
		}
		if err != nil {
			created, id, kerr := parseVersionKey(r.it.Key())
			if kerr != nil {
				continue // names nothing
			}
			v.ID, v.Created = id, alarmTime(created)
		}
		page = append(page, v.Version)
	}
	return page, "", r.it.Error()
}

// A cursor is time and id of the page's last version, in URL-safe text.

func formatVersionCursor(v *persist.Version) string {
	return base64.RawURLEncoding.EncodeToString(append(binary.BigEndian.AppendUint64(nil, uint64(v.Created.UnixMilli())), v.ID...))
}

func parseVersionCursor(cursor string) ([]byte, error) {
	behind, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(behind) <= timeLen || persist.ValidateVersionID(string(behind[timeLen:])) != nil {
		return nil, fmt.Errorf("%w: cursor of another listing", persist.ErrInvalid)
	}
	return behind, nil
}

// Version implements persist's contract.
func (s *Store) Version(ctx context.Context, k persist.Key, id string) (persist.Version, []byte, error) {
	if err := s.enter(); err != nil {
		return persist.Version{}, nil, err
	}
	defer s.leave()
	v, state, err := s.version(ctx, k, id)
	if err != nil {
		return persist.Version{}, nil, fmt.Errorf("version %q: %w", id, err)
	}
	return v.Version, state, nil
}

func (s *Store) version(ctx context.Context, k persist.Key, id string) (v version, state []byte, err error) {
	if err := persist.ValidateVersionID(id); err != nil {
		return version{}, nil, err
	}
	var name string
	fetched, err := s.fetchOf(ctx, k, func() (_ string, p place, err error) {
		name = ""
		err = s.viewVersions(ctx, k, func(r *reader, doc uint64) (err error) {
			if v, err = r.version(doc, id); err != nil {
				return err
			}
			if v.place.objectBytes != 0 {
				name, p = object.VersionName(s.uuid, k, id, v.place.sum), v.place
				return nil
			}
			var piece uint32
			if state, piece, err = r.pieces(doc, &v.place); err != nil {
				err = r.badVersion(id, fmt.Sprintf("piece %d", piece), err)
			}
			return err
		})
		return name, p, err
	})
	var bad badRecord
	switch {
	case errors.As(err, &bad):
		return version{}, nil, &persist.CorruptError{Key: k, Reason: fmt.Sprintf("version %q, object %q: %s", id, name, bad.Error())}
	case err != nil:
		return version{}, nil, err
	case name != "":
		state = fetched
	}
	return v, state, nil
}

// version reads the record of a version.
func (r *reader) version(doc uint64, id string) (version, error) {
	if doc == 0 {
		return version{}, persist.ErrNotFound
	}
	var created uint64
	found, err := r.only(appendVersionIDKey(nil, doc, id), func(key, value []byte) (err error) {
		created, err = parseTime(key, value)
		return err
	})
	switch {
	case err != nil:
		return version{}, r.badVersion(id, "id", err)
	case !found:
		return version{}, persist.ErrNotFound
	}
	var v version
	found, err = r.only(appendVersionKey(nil, doc, created, id), func(key, value []byte) (err error) {
		v, err = parseVersion(key, value)
		return err
	})
	if err == nil && !found {
		err = errMissing
	}
	if err != nil {
		return version{}, r.badVersion(id, "record", err)
	}
	return v, nil
}

// only calls fn with the record at key, and says whether there is one.
func (r *reader) only(key []byte, fn func(key, value []byte) error) (bool, error) {
	r.it.SetBounds(key, append(slices.Clone(key), 0))
	if !r.it.First() {
		return false, r.it.Error()
	}
	value, err := r.it.ValueAndErr()
	if err == nil {
		err = fn(key, value)
	}
	return true, err
}

// badVersion turns an error of reading a version into what its caller gets. It
// takes nothing out of service.
func (r *reader) badVersion(id, what string, err error) error {
	reason, corrupt := badness(err)
	if !corrupt {
		return fmt.Errorf("read version %q: %w", id, err)
	}
	return &persist.CorruptError{Key: r.doc, Reason: fmt.Sprintf("version %q, %s: %s", id, what, reason)}
}

// DeleteVersion implements persist's contract. An object is left to Sweep.
func (s *Store) DeleteVersion(ctx context.Context, k persist.Key, id string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	err := errors.Join(ctx.Err(), persist.ValidateVersionID(id))
	if err == nil {
		err = s.deleteVersion(ctx, k, id)
	}
	if err != nil {
		return fmt.Errorf("delete version %q: %w", id, err)
	}
	return nil
}

func (s *Store) deleteVersion(ctx context.Context, k persist.Key, id string) error {
	if err := s.beginExisting(ctx, k); err != nil {
		return err
	}
	e, v, err := s.versionToDelete(ctx, k, id)
	if err != nil {
		s.end()
		return err
	}
	doc := e.state.id
	b := s.db.NewBatch()
	_ = b.Delete(appendVersionKey(nil, doc, uint64(v.Created.UnixMilli()), id), nil) // none of these fail on such a batch
	_ = b.Delete(appendVersionIDKey(nil, doc, id), nil)
	if v.place.objectBytes != 0 {
		supersede(b, object.VersionName(s.uuid, k, id, v.place.sum), toMillis(s.opts.Now()))
	} else {
		deletePieces(b, doc, v.place.id)
	}
	s.ticket++
	s.heads.put(e, s.ticket, s.durable.n.Load())
	return s.wait(ctx, s.queue(b, s.ticket))
}

// versionToDelete reads what is behind everything queued. The write lock is held.
func (s *Store) versionToDelete(ctx context.Context, k persist.Key, id string) (e *entry, v version, err error) {
	if e, err = s.head(k); err != nil {
		return nil, v, err
	}
	if e.state.deleted != 0 {
		return nil, v, persist.ErrDeleted
	}
	if err := s.await(ctx, &s.applied, s.heads.ticket(k)); err != nil {
		return nil, v, err
	}
	it, err := s.db.NewIter(nil)
	if err != nil {
		return nil, v, err
	}
	defer closeIter(it, &err)
	r := &reader{s: s, ctx: ctx, it: it, doc: k}
	v, err = r.version(e.state.id, id)
	return e, v, err
}

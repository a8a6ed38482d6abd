package yserver

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// Close codes of the range for applications. They are the HTTP status that says
// the same; y-websocket clients take 44xx as final.
const (
	closeStale   = 4409 // the client's copy is of an epoch that has ended
	closeDeleted = 4410 // the document was deleted
)

const (
	staleReason   = "stale copy"
	deletedReason = "document was deleted"
)

// Codes of refusals by the epoch parameter.
const (
	codeEpochRequired = "EPOCH_REQUIRED"
	codeEpochInvalid  = "EPOCH_INVALID"
)

// ErrStaleCopy is returned by [Room.Apply] for an update that names a client of
// an epoch that has ended.
var ErrStaleCopy = errors.New("update is of a former epoch of the document")

// limitless takes whatever was accepted once.
var limitless = update.Limits{Nesting: lib0.MaxDepth, Clients: 1 << 30}

// claim is what a client says about its copy with the epoch parameter: nothing,
// that it has none, or its epoch.
type claim struct {
	asks  bool // there is a parameter, so it wants to know
	given bool // it is not empty
	epoch persist.Epoch
}

// claimOf reads the epoch parameter of a request for a document.
func claimOf(r *http.Request, p *party) (c claim, refusal *gate.Refusal) {
	if p.Document == nil {
		return c, nil
	}
	return parseClaim(r.URL.Query(), p.Document.RequireEpoch)
}

func parseClaim(query url.Values, required bool) (c claim, refusal *gate.Refusal) {
	c.asks = query.Has("epoch")
	value := query.Get("epoch")
	switch {
	case !c.asks && required:
		return c, &gate.Refusal{
			Status: http.StatusPreconditionRequired, Layer: gate.LayerValidation, Code: codeEpochRequired,
			Message: "the epoch of the copy is required", Hint: "connect with ?epoch=<n>, or with an empty ?epoch= without a copy",
		}
	case value == "":
		return c, nil
	}
	var err error
	if c.epoch, err = strconv.ParseUint(value, 10, 64); err != nil {
		return c, &gate.Refusal{Status: http.StatusBadRequest, Layer: gate.LayerValidation, Code: codeEpochInvalid, Message: "the epoch is not a number"}
	}
	c.given = true
	return c, nil
}

// staleClaim tells a client that wants to know the epoch of the document, and
// reports whether its copy is of another. On the y-websocket mount, whose clients
// know no text, it is told by the close code alone.
func (r *documentRoom) staleClaim(m *member) bool {
	if m.claim.asks && !m.ymnt {
		m.peer.push(epochFrame("epoch", r.journal.epoch))
	}
	return m.claim.given && m.claim.epoch != r.journal.epoch
}

// staleMessage reports whether a sync message names a client that only a former
// epoch knew.
func (r *documentRoom) staleMessage(msg protocol.Message) bool {
	if msg.Sync == protocol.SyncStep1 {
		return r.denied.inStateVector(msg.Payload)
	}
	return r.denied.inUpdate(msg.Payload)
}

// stale shuts out a member whose copy is of a former epoch: nothing of it is
// taken any more, and of the document it gets nothing.
func (r *documentRoom) stale(m *member) {
	if m.stale {
		return
	}
	r.srv.counters.staleCopies.Add(1)
	r.log.Info("connection has a stale copy of the document", "peer", m.conn.id, "epoch", r.journal.epoch)
	m.stale = true
	m.synced, m.missed = true, false // it is not waited for
	m.lacks, m.main, m.acks = nil, nil, nil
	r.presence.leave(m)
	if m.ymnt {
		m.peer.close(closeStale, staleReason)
		return
	}
	m.peer.push(epochFrame("stale", r.journal.epoch))
}

func epochFrame(kind string, epoch persist.Epoch) *frame {
	return newFrame(opText, kindReply, fmt.Appendf(nil, `%s{"type":%q,"epoch":%d}`, protocol.CustomPrefix, kind, epoch), nil)
}

// outdate ends a room whose document is no longer the one in the store.
func (r *documentRoom) outdate(err error) {
	r.log.Warn("document was replaced or deleted while open", "err", err)
	if errors.Is(err, persist.ErrDeleted) {
		r.evict(closeDeleted, deletedReason)
		return
	}
	r.evict(closeServiceRestart, "document was replaced")
}

// moved reports whether a document that was loaded anew is another than the one
// that the members know.
func (r *documentRoom) moved(l loaded) bool {
	return l.epoch != r.journal.epoch || l.seq < r.journal.seq
}

// denyList are the clients that only former epochs knew, ascending. Whoever
// names one has a copy of a former epoch.
type denyList []uint64

// newDenyList returns those of dead that the document does not know. It keeps
// dead.
func newDenyList(dead []uint64, doc *ydoc.Doc) denyList {
	if len(dead) == 0 {
		return nil
	}
	known := clientsOf(doc)
	deny := dead[:0]
	for _, id := range dead {
		for len(known) > 0 && known[0] < id {
			known = known[1:]
		}
		if len(known) == 0 || known[0] != id {
			deny = append(deny, id)
		}
	}
	return slices.Clip(denyList(deny))
}

func (d denyList) has(id uint64) bool {
	_, found := slices.BinarySearch(d, id)
	return found
}

// inStateVector reports whether a state vector claims something of a denied
// client. One that does not parse claims nothing.
func (d denyList) inStateVector(sv []byte) bool {
	if len(d) == 0 {
		return false
	}
	claims, err := update.ParseStateVector(nil, sv, update.Limits{})
	return err == nil && slices.ContainsFunc(claims, func(id update.ID) bool { return id.Clock > 0 && d.has(id.Client) })
}

// inUpdate reports whether an update names a denied client: as its own, as a
// neighbour, as a parent, or to delete.
func (d denyList) inUpdate(u []byte) bool {
	return len(d) > 0 && names(u, d.has)
}

// appendNamed appends the clients whose structs or deletes are in an update.
func appendNamed(ids []uint64, u []byte) []uint64 {
	names(u, func(id uint64) bool {
		if len(ids) == 0 || ids[len(ids)-1] != id {
			ids = append(ids, id)
		}
		return false
	})
	return ids
}

// names calls is for the clients that an update names until it returns true, and
// reports whether it did. It ends at the first fault of the update.
func names(u []byte, is func(client uint64) bool) bool {
	var dec update.Decoder
	dec.Reset(u, limitless)
	var s update.Struct
	for {
		ok, err := dec.Next(&s)
		switch {
		case err != nil:
			return false
		case !ok:
			return namesDeleted(&dec, is)
		case is(s.Client),
			s.IsItem() && s.Info&update.HasOrigin != 0 && is(s.Origin.Client),
			s.IsItem() && s.Info&update.HasRightOrigin != 0 && is(s.RightOrigin.Client),
			s.IsItem() && s.ParentIsID && is(s.Parent.Client):
			return true
		}
	}
}

func namesDeleted(dec *update.Decoder, is func(client uint64) bool) bool {
	for {
		client, _, _, ok, err := dec.NextDelete()
		if err != nil || !ok {
			return false
		}
		if is(client) {
			return true
		}
	}
}

// usesClient reports whether an update has structs of one of the clients, which
// ascend.
func usesClient(u []byte, clients []uint64) bool {
	var dec update.Decoder
	dec.Reset(u, limitless)
	var s update.Struct
	for {
		ok, err := dec.Next(&s)
		if err != nil || !ok {
			return false
		}
		if denyList(clients).has(s.Client) {
			return true
		}
	}
}

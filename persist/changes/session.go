package changes

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	// closeTimeout bounds what is done for a connection that goes.
	closeTimeout = time.Second
	// asks is how often a silent server is asked whether it is there before it counts as gone.
	asks = 3
	// slowSlot is when a slot that is not there yet is worth a line in the log.
	slowSlot = 5 * time.Second
	// messageOverhead is what a message has beside the values of a row: no more columns than PostgreSQL has.
	messageOverhead = 64 << 10
)

// errAltered ends a session whose publication or tables are not those that it began with.
var errAltered = errors.New("the publication or its tables were changed")

// session is one connection with its temporary slot, from the slot's creation to the connection's end.
type session struct {
	// Static after construction.
	config    Config
	stats     *counters
	catalogue *catalogue
	survey    *survey
	conn      net.Conn
	frontend  *pgproto3.Frontend
	problems  []Problem

	altered atomic.Bool // the watch has ended it
	ending  sync.Once

	// Owned by read.
	received LSN // everything before it arrived
	assemble *transactions
}

// startSession returns a session that streams. With strict it fails for any fatal problem; otherwise for those alone that
// are not about one table.
func startSession(ctx context.Context, c Config, stats *counters, strict bool) (_ *session, err error) {
	cat, err := openCatalogue(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			cat.close()
		}
	}()
	s := &session{config: c, stats: stats, catalogue: cat}
	if s.survey, s.problems, err = cat.prepare(ctx, c); err != nil {
		return nil, err
	}
	for _, p := range s.problems {
		if p.Fatal && (strict || p.Table == (Table{}) && p.Code != CodePublication || s.survey.publication == nil) {
			return nil, fatal(s.problems)
		}
	}
	conn, err := dialReplication(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := s.startSlot(ctx, conn); err != nil {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		_ = conn.Close(end) // err says more
		return nil, err
	}
	hijacked, err := conn.Hijack() // the reader sets its own deadlines, and nothing is left running behind it
	if err != nil {
		return nil, err
	}
	s.conn, s.frontend = hijacked.Conn, hijacked.Frontend
	s.frontend.SetMaxBodyLen(c.MaxTransaction + messageOverhead)
	return s, nil
}

// startSlot creates the slot, for which the server waits until it knows all transactions that are running, and starts it.
func (s *session) startSlot(ctx context.Context, conn *pgconn.PgConn) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.SlotTimeout)
	defer cancel()
	slow := time.AfterFunc(slowSlot, func() {
		s.config.Logger.Warn("waiting for transactions to end, before their changes can be read")
	})
	defer slow.Stop()
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	slot := "yserverd_" + hex.EncodeToString(id[:])
	created, err := pglogrepl.CreateReplicationSlot(ctx, conn, slot, "pgoutput", pglogrepl.CreateReplicationSlotOptions{
		Temporary: true, Mode: pglogrepl.LogicalReplication, SnapshotAction: "NOEXPORT_SNAPSHOT",
	})
	if err != nil {
		return fmt.Errorf("create a replication slot (it waits for transactions that write): %w", err)
	}
	from, err := pglogrepl.ParseLSN(created.ConsistentPoint)
	if err != nil {
		return err
	}
	name := quoteLiteral(pgx.Identifier{s.config.Publication}.Sanitize())
	err = pglogrepl.StartReplication(ctx, conn, slot, 0, pglogrepl.StartReplicationOptions{
		Mode: pglogrepl.LogicalReplication, PluginArgs: []string{"proto_version '1'", "publication_names " + name},
	})
	if err != nil {
		return fmt.Errorf("start replication: %w", err)
	}
	s.received = from
	s.stats.restart(from)
	return nil
}

// run reads until the connection ends, and returns why. Cancelling the context ends it.
func (s *session) run(ctx context.Context, put func(*Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(ctx) })
	stop := context.AfterFunc(ctx, s.end)
	err := s.read(ctx, put)
	stop()
	cancel()
	s.end()
	s.catalogue.close() // whoever asks gets an error
	watching.Wait()
	if s.altered.Load() {
		return errAltered
	}
	return err
}

// end closes the connection, with a word to the server, which drops the slot then. It is safe for concurrent use.
func (s *session) end() {
	s.ending.Do(func() {
		_ = s.conn.SetWriteDeadline(time.Now().Add(closeTimeout))
		_, _ = s.conn.Write([]byte{'X', 0, 0, 0, 4}) // Terminate; the close says the same
		_ = s.conn.Close()
	})
}

// read is the loop over what the server sends.
func (s *session) read(ctx context.Context, put func(*Event)) error {
	s.assemble = newTransactions(s.config.Tables, s.config.MaxTransaction, func(rel *Relation) error {
		return s.catalogue.detail(ctx, rel)
	})
	pause := s.config.Silence / (asks + 1)
	silent := 0
	if err := s.confirm(true); err != nil {
		return err
	}
	asked := time.Now()
	for {
		if err := s.conn.SetReadDeadline(asked.Add(pause)); err != nil {
			return err
		}
		message, err := s.frontend.Receive()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if silent++; silent > asks {
				return fmt.Errorf("the server says nothing for %v", s.config.Silence)
			}
		case err != nil:
			return fmt.Errorf("read the stream: %w", err)
		default:
			silent = 0
			reply, err := s.handle(message, put)
			if err != nil {
				return err
			}
			if !reply && time.Since(asked) < pause {
				continue
			}
		}
		if err := s.confirm(true); err != nil {
			return err
		}
		asked = time.Now()
	}
}

// handle takes a message and reports whether the server wants to hear from us at once. A commit is confirmed with the
// next status: that is soon enough for the server to let go of its log.
func (s *session) handle(message pgproto3.BackendMessage, put func(*Event)) (reply bool, err error) {
	switch m := message.(type) {
	case *pgproto3.CopyData:
		return s.data(m.Data, put)
	case *pgproto3.ErrorResponse:
		return false, pgconn.ErrorResponseToPgError(m)
	case *pgproto3.NoticeResponse, *pgproto3.ParameterStatus:
		return false, nil
	}
	return false, fmt.Errorf("the stream ended with %T", message)
}

// data takes what is in a CopyData message.
func (s *session) data(data []byte, put func(*Event)) (reply bool, err error) {
	if len(data) == 0 {
		return false, errors.New("empty message in the stream")
	}
	switch data[0] {
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		k, err := pglogrepl.ParsePrimaryKeepaliveMessage(data[1:])
		if err != nil {
			return false, err
		}
		if !s.assemble.open { // all before it was sent, or is none of ours
			s.received = max(s.received, k.ServerWALEnd)
		}
		s.stats.received.Store(uint64(s.received))
		return k.ReplyRequested, nil
	case pglogrepl.XLogDataByteID:
		x, err := pglogrepl.ParseXLogData(data[1:])
		if err != nil {
			return false, err
		}
		event, err := s.assemble.take(x.WALData)
		if err != nil {
			return false, err
		}
		if len(x.WALData) > 0 && x.WALData[0] == msgCommit {
			s.received = max(s.received, x.WALStart)
		}
		if event != nil {
			s.received = max(s.received, event.LSN)
			s.stats.event(event)
			put(event)
		}
		s.stats.received.Store(uint64(s.received))
	}
	return false, nil
}

// confirm tells the server what we have: all of it, since nobody comes back for it. With ask it answers.
func (s *session) confirm(ask bool) error {
	status := make([]byte, 0, 34)
	status = append(status, pglogrepl.StandbyStatusUpdateByteID)
	for range 3 { // written, flushed, applied
		status = binary.BigEndian.AppendUint64(status, uint64(s.received))
	}
	status = binary.BigEndian.AppendUint64(status, uint64(time.Now().UnixMicro()-pgEpoch))
	status = append(status, 0)
	if ask {
		status[len(status)-1] = 1
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.config.Silence)); err != nil {
		return err
	}
	s.frontend.Send(&pgproto3.CopyData{Data: status})
	if err := s.frontend.Flush(); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	return nil
}

// watch looks now and then whether the tables are still those that are published, which the stream does not say.
func (s *session) watch(ctx context.Context) {
	ticker := time.NewTicker(s.config.Verify)
	defer ticker.Stop()
	before := s.survey.fingerprint()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now, err := s.catalogue.survey(ctx, s.config)
		if err != nil {
			if ctx.Err() == nil {
				s.config.Logger.Debug("look at the publication", "error", err)
			}
			continue
		}
		s.stats.sawEnd(now.server.end)
		if now.fingerprint() != before {
			s.altered.Store(true)
			s.end()
			return
		}
	}
}

func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

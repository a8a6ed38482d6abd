package postgres

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/persist"
)

// appendSQL stores the updates of many documents, each of which is named once, see the function in migrations. It is a
// function so that its plan stays in the server's session, which needs nothing of the client's.
//
// Arguments: of each document party, room, epoch, after, number of updates and their bytes; of each update the place of
// its document from 1 on, number in that document from 1 on, bytes, sum; the places of documents that reach the end of a page,
// the size of pages, and from how many updates on a log has them.
const appendSQL = `SELECT n, seq, quarantine_row, quarantine_reason, verdict FROM yserverd.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`

// What the function says of a document; the numbers are stored in it.
const (
	verdictFine    = iota
	verdictCorrupt // in quarantine
	verdictDeleted
	verdictEpoch
	verdictConflict
	verdictRaced // somebody else has created it since the statement began
)

// Append implements persist's contract: one statement for all documents. A key that is named again is served by a
// statement of its own behind the first, in the same transaction and round trip.
func (s *Store) Append(ctx context.Context, items []persist.Append) ([]persist.Result, error) {
	results := make([]persist.Result, len(items))
	bytes := int64(0)
	for i := range items {
		bytes += updatesBytes(items[i].Updates)
	}
	work := func(ctx context.Context) error {
		a := appending{s: s, items: items, results: results}
		rounds, err := a.rounds()
		if err != nil {
			return err
		}
		for range maxAttempts {
			if len(rounds) == 0 {
				return nil
			}
			if err := a.send(ctx, rounds); err != nil {
				return err
			}
			rounds = a.raced
			a.raced = nil
		}
		return errAgain
	}
	err := s.call(ctx, "append", func(ctx context.Context) error { return s.bring(ctx, bytes, work) })
	if err != nil {
		return nil, err
	}
	s.countAppended(items, results)
	return results, nil
}

func (s *Store) countAppended(items []persist.Append, results []persist.Result) {
	for i := range results {
		if results[i].Err != nil {
			s.counters.refused.Add(1)
			continue
		}
		s.counters.appended.Add(uint64(len(items[i].Updates)))
		s.counters.appendedBytes.Add(uint64(updatesBytes(items[i].Updates)))
	}
}

func updatesBytes(updates [][]byte) (n int64) {
	for _, u := range updates {
		n += int64(len(u))
	}
	return n
}

// appending is one call of Append.
type appending struct {
	s       *Store
	items   []persist.Append
	results []persist.Result
	raced   [][]int // rounds to do again
	summer  summer
}

// rounds returns the places of the items that can be stored, a slice for each time that a key is named.
func (a *appending) rounds() ([][]int, error) {
	var rounds [][]int
	var times map[persist.Key]int
	if len(a.items) > 1 {
		times = make(map[persist.Key]int, len(a.items))
	}
	bytes := int64(0)
	for i := range a.items {
		k := a.items[i].Key
		a.results[i] = persist.Result{Err: k.Validate()}
		if a.results[i].Err != nil {
			continue
		}
		bytes += updatesBytes(a.items[i].Updates)
		round := times[k]
		if times != nil {
			times[k]++
		}
		if round == len(rounds) {
			rounds = append(rounds, make([]int, 0, len(a.items)-i))
		}
		rounds[round] = append(rounds[round], i)
	}
	if bytes > maxCallBytes {
		return nil, fmt.Errorf("%w: %d bytes in one call, more than %d", persist.ErrInvalid, bytes, maxCallBytes)
	}
	return rounds, nil
}

// send makes the statements of the rounds.
func (a *appending) send(ctx context.Context, rounds [][]int) error {
	if len(rounds) == 1 {
		rows, err := a.s.pool.Query(ctx, appendSQL, a.arguments(rounds[0])...)
		if err != nil {
			return err
		}
		return a.read(rows, rounds[0])
	}
	b := &pgx.Batch{}
	for _, round := range rounds {
		b.Queue(appendSQL, a.arguments(round)...).Query(func(rows pgx.Rows) error { return a.read(rows, round) })
	}
	return a.s.send(ctx, b)
}

// arguments are those of appendSQL.
func (a *appending) arguments(round []int) []any {
	n, updates := len(round), 0
	for _, i := range round {
		updates += len(a.items[i].Updates)
	}
	parties, rooms := make([][]byte, n), make([][]byte, n)
	epochs, afters, rows, bytes := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	places, numbers := make([]int64, 0, updates), make([]int64, 0, updates)
	data, sums := make([][]byte, 0, updates), make([]int32, 0, updates)
	ends, page := []int64{}, a.s.page
	for at, i := range round {
		item := &a.items[i]
		parties[at], rooms[at] = []byte(item.Key.Party), []byte(item.Key.Room)
		epochs[at], afters[at] = signed(item.Epoch), signed(item.After)
		rows[at], bytes[at] = int64(len(item.Updates)), updatesBytes(item.Updates)
		if end := item.After + uint64(len(item.Updates)); end/page != item.After/page {
			ends = append(ends, int64(at+1))
		}
		for j, u := range item.Updates {
			places, numbers = append(places, int64(at+1)), append(numbers, int64(j+1))
			sums = append(sums, a.summer.update(item.Key, item.After+uint64(j)+1, u))
			data = append(data, solid(u))
		}
	}
	return []any{parties, rooms, epochs, afters, rows, bytes, places, numbers, data, sums, ends, int32(page), signed(a.s.longLog)}
}

// read turns the verdicts into results.
func (a *appending) read(rows pgx.Rows, round []int) error {
	var n, seq, row int64
	var reason []byte
	var verdict int
	answered := 0
	var raced []int
	_, err := pgx.ForEachRow(rows, []any{&n, &seq, &row, &reason, &verdict}, func() error {
		answered++
		i := round[n-1]
		item := &a.items[i]
		switch verdict {
		case verdictFine:
			a.results[i] = persist.Result{Seq: item.After + uint64(len(item.Updates))}
		case verdictCorrupt:
			a.results[i] = persist.Result{Err: &persist.CorruptError{Key: item.Key, Row: uint64(row), Reason: string(reason)}}
		case verdictDeleted:
			a.results[i] = persist.Result{Err: persist.ErrDeleted}
		case verdictEpoch:
			a.results[i] = persist.Result{Seq: uint64(seq), Err: persist.ErrEpoch}
		case verdictConflict:
			a.results[i] = persist.Result{Seq: uint64(seq), Err: persist.ErrConflict}
		case verdictRaced:
			raced = append(raced, i)
		}
		return nil
	})
	if err == nil && answered != len(round) {
		err = fmt.Errorf("%d answers for %d documents", answered, len(round))
	}
	if len(raced) > 0 {
		a.raced = append(a.raced, raced)
	}
	return err
}

// signed is a number as the database has it. What is larger than that is no document's.
func signed(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// solid is bytes for the database, where nil would be NULL.
func solid(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

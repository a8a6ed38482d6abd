package postgres

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/persist"
)

// tail reads rows of a log.
type tail struct {
	key    persist.Key
	arena  arena
	summer summer
	rows   []persist.Update
	bad    persist.Seq // the first row whose sum is wrong; zero: none
}

func (t *tail) read(rows pgx.Rows) error {
	var seq int64
	var sum int32
	_, err := pgx.ForEachRow(rows, []any{&seq, &t.arena, &sum}, func() error {
		t.add(uint64(seq), sum)
		return nil
	})
	return err
}

// add adds a row with the arena's last bytes. The first row that does not verify is remembered.
func (t *tail) add(seq persist.Seq, sum int32) {
	data := t.arena.take()
	if t.bad == 0 && t.summer.update(t.key, seq, data) != sum {
		t.bad = seq
	}
	t.rows = append(t.rows, persist.Update{Seq: seq, Data: data})
}

// check puts the rows in order and returns which one is missing or damaged, and how.
func (t *tail) check(after, last persist.Seq) (persist.Seq, string) {
	if t.bad != 0 {
		return t.bad, "checksum mismatch"
	}
	bySeq := func(a, b persist.Update) int { return cmp.Compare(a.Seq, b.Seq) }
	if !slices.IsSortedFunc(t.rows, bySeq) {
		slices.SortFunc(t.rows, bySeq)
	}
	for i := range t.rows {
		if want := after + uint64(i) + 1; t.rows[i].Seq != want {
			return want, "it is missing"
		}
	}
	switch end := after + uint64(len(t.rows)); {
	case end < last:
		return end + 1, "it is missing"
	case end > last:
		return last + 1, fmt.Sprintf("it is behind the last one, %d", last)
	}
	return 0, ""
}

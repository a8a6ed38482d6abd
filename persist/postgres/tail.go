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
	after  persist.Seq // behind which it begins
	arena  arena
	summer summer
	rows   []persist.Update
	bad    persist.Seq // the first row whose sum is wrong; zero: none
}

func (t *tail) read(rows pgx.Rows) error {
	var seq int64
	var sum, packed int32
	_, err := pgx.ForEachRow(rows, []any{&seq, &t.arena, &sum, &packed}, func() error {
		t.add(uint64(seq), sum, packed)
		return nil
	})
	return err
}

// expect makes room for so many rows, if that many are believable.
func (t *tail) expect(n uint64) { t.rows = make([]persist.Update, 0, min(n, 1<<14)) }

// add adds a row with the arena's last bytes, which is one update or a page of that many.
func (t *tail) add(seq persist.Seq, sum, packed int32) {
	data := t.arena.take()
	if packed <= 1 {
		t.update(seq, sum, data)
		return
	}
	first := seq - min(seq, uint64(packed)) + 1
	t.rows = slices.Grow(t.rows, min(int(packed), len(data)/pageHead))
	for n := first; n <= seq; n++ {
		u, sum, rest, ok := nextInPage(data)
		if !ok || n == seq && len(rest) > 0 {
			t.damaged(n)
			return
		}
		if data = rest; n > t.after { // the page may be older than the snapshot, or than what is asked for
			t.update(n, sum, u)
		}
	}
}

func (t *tail) update(seq persist.Seq, sum int32, data []byte) {
	if t.summer.update(t.key, seq, data) != sum {
		t.damaged(seq)
	}
	t.rows = append(t.rows, persist.Update{Seq: seq, Data: data})
}

// damaged remembers the first row that does not verify.
func (t *tail) damaged(seq persist.Seq) {
	if t.bad == 0 || seq < t.bad {
		t.bad = seq
	}
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

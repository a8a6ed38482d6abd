package changes_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist/changes"
)

// BenchmarkDecode is one transaction with one update of a row of two columns, from messages to its event.
func BenchmarkDecode(b *testing.B) {
	d := changes.NewDecoder(1<<20, tables("a")...)
	_, err := d.Take(relation)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = d.Take(begin)
		_, _ = d.Take(update)
		if e, err := d.Take(commit); e == nil || err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppendJSON is a row of a number, an array and a text.
func BenchmarkAppendJSON(b *testing.B) {
	rel := &changes.Relation{Columns: []changes.Column{changes.Number, changes.Numbers, changes.Text}}
	row := []changes.Value{{Text: "12.5"}, {Text: `{1,2,NULL}`}, {Text: "a \"b\" of no length to speak of"}}
	buffer := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buffer = changes.AppendJSON(buffer[:0], rel, row, nil)
	}
	b.SetBytes(int64(len(buffer)))
}

package changes_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist/changes"
)

// Example reads the changes of a table. It runs where there is a database, see TestExample.
func Example() {
	_ = example
	// Output:
}

func example(ctx context.Context, url string, write func() error) (lines []string, err error) {
	stream, err := changes.Open(ctx, changes.Config{URL: url, Tables: []changes.Table{{Schema: "public", Name: "claims"}}})
	if err != nil {
		return nil, err // a *changes.ProblemError says what the database lacks
	}
	defer stream.Close()
	if err := write(); err != nil {
		return nil, err
	}
	for len(lines) < 2 {
		event, err := stream.Next(ctx)
		if err != nil {
			return nil, err
		}
		if event.Gap != nil {
			lines = append(lines, fmt.Sprint("read again: ", event.Gap.Tables))
		}
		for _, change := range event.Changes {
			row := changes.AppendJSON(nil, change.Table, change.New, nil)
			lines = append(lines, fmt.Sprintf("%s %s %s", change.Op, change.Table.Name, row))
		}
	}
	return lines, nil
}

func TestExample(t *testing.T) {
	k := newKit(t, "CREATE TABLE claims (id int PRIMARY KEY, title text, open bool)")
	lines, err := example(t.Context(), k.url, func() error {
		k.exec("INSERT INTO claims VALUES (1, 'Roof', true)", "UPDATE claims SET open = false")
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{
		`INSERT claims {"id":1,"title":"Roof","open":true}`,
		`UPDATE claims {"id":1,"title":"Roof","open":false}`,
	}, lines)
}

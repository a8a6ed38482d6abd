package changes_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist/changes"
)

func TestGapsThatFollowEachOtherAreOne(t *testing.T) {
	q := changes.NewQueue(1000)
	q.Gap(1, changes.TooLarge, tables("b")...)
	q.Gap(2, changes.Reconnected, tables("a", "b")...)
	q.Transaction(3, 100, "a")
	q.Gap(4, changes.TooLarge, tables("a")...)
	require.Equal(t, []string{"GAP reconnected [public.a public.b]"}, describe(q.Get(t)))
	require.Equal(t, []string{"TRUNCATE a - -"}, describe(q.Get(t)))
	require.Equal(t, []string{"GAP transaction too large [public.a]"}, describe(q.Get(t)))
	require.True(t, q.Empty())
	gaps, dropped, size := q.Figures()
	require.Equal(t, [3]uint64{2, 0, 0}, [3]uint64{gaps, dropped, size})
}

func TestQueueAboveItsBoundIsAGap(t *testing.T) {
	q := changes.NewQueue(1000)
	q.Transaction(1, 1000, "a")
	require.Equal(t, []string{"TRUNCATE a - -"}, describe(q.Get(t)), "one alone is within")
	q.Transaction(2, 600, "b")
	q.Transaction(3, 400, "b")
	q.Transaction(4, 1, "c")
	q.Transaction(5, 700, "a")
	q.Transaction(6, 700, "d")
	e := q.Get(t)
	require.Equal(t, []string{"GAP events not taken [public.a public.b public.c public.d]"}, describe(e))
	require.EqualValues(t, 6, e.LSN)
	require.True(t, q.Empty())
	gaps, dropped, size := q.Figures()
	require.EqualValues(t, 0, size)
	require.EqualValues(t, 6, dropped)
	require.EqualValues(t, 2, gaps)
}

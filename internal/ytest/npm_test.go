package ytest_test

import (
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/ytest"
)

func TestDigestSeesEveryChange(t *testing.T) {
	files := func(a, b string) fstest.MapFS {
		return fstest.MapFS{"src/a.js": {Data: []byte(a)}, "src/b/b.js": {Data: []byte(b)}, "other": {Data: []byte(a + b)}}
	}
	sum := func(fsys fstest.MapFS) string {
		s, err := ytest.Digest(fsys, "src")
		require.NoError(t, err)
		return s
	}
	first := sum(files("one", "two"))
	require.Equal(t, first, sum(files("one", "two")))
	require.NotEqual(t, first, sum(files("onet", "wo")))
	require.NotEqual(t, first, sum(files("one", "three")))
	_, err := ytest.Digest(files("", ""), "src", "gone")
	require.Error(t, err)
}

func TestLockExcludes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := ytest.Lock(path)
	require.NoError(t, err)
	got := make(chan func())
	go func() {
		second, err := ytest.Lock(path)
		if err == nil {
			got <- second
		}
	}()
	select {
	case <-got:
		t.Fatal("locked twice")
	case <-time.After(50 * time.Millisecond): // longer than an unhindered lock takes; a false pass is all that slowness can cause
	}
	unlock()
	(<-got)()
}

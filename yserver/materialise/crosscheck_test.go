package materialise_test

import (
	"context"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/yserver/materialise"
)

// TestOneFileImportsYCRDT: whatever else wants it would meet what is wrong with it.
func TestOneFileImportsYCRDT(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var importing []string
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range f.Imports {
			if spec.Path.Value == `"github.com/skyterra/y-crdt"` {
				importing = append(importing, name)
			}
		}
	}
	require.Equal(t, []string{"ycrdt.go"}, importing)
}

func insertX(tx *materialise.Tx) error {
	return tx.TextInsert(materialise.At("t"), 0, "x", nil)
}

// An edit that the second implementation sees otherwise is not handed out.
func TestDisagreement(t *testing.T) {
	defer materialise.SetSecond(func([]byte, materialise.Limits) ([]byte, error) { return []byte("other"), nil })()
	u, err := materialise.Edit(t.Context(), update.Empty, materialise.EditOptions{}, insertX)
	require.ErrorIs(t, err, materialise.ErrUnsupported)
	require.Nil(t, u)
	// Beyond the size it is not asked.
	_, err = materialise.Edit(t.Context(), update.Empty, materialise.EditOptions{Limits: materialise.Limits{CheckBytes: -1}}, insertX)
	require.NoError(t, err)
}

func TestPanicOfTheSecond(t *testing.T) {
	defer materialise.SetSecond(func([]byte, materialise.Limits) ([]byte, error) { panic("index out of range") })()
	_, err := materialise.Edit(t.Context(), update.Empty, materialise.EditOptions{}, insertX)
	require.ErrorIs(t, err, materialise.ErrUnsupported)
	require.ErrorContains(t, err, "index out of range")
}

// Runs that do not end are counted, and too many are refused, but reading and what is not checked goes on.
func TestRunsThatDoNotEnd(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{}, materialise.MaxAbandoned)
	ended := make(chan struct{}, materialise.MaxAbandoned)
	restore := materialise.SetSecond(func([]byte, materialise.Limits) ([]byte, error) {
		defer func() { ended <- struct{}{} }()
		entered <- struct{}{}
		<-release
		return nil, nil
	})
	_, before := materialise.Abandoned()
	for range materialise.MaxAbandoned {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-entered
			cancel()
		}()
		_, err := materialise.Edit(ctx, update.Empty, materialise.EditOptions{}, insertX)
		require.ErrorIs(t, err, context.Canceled)
	}
	running, total := materialise.Abandoned()
	require.EqualValues(t, materialise.MaxAbandoned, running)
	require.EqualValues(t, materialise.MaxAbandoned, total-before)
	_, err := materialise.Edit(t.Context(), update.Empty, materialise.EditOptions{}, insertX)
	require.ErrorIs(t, err, materialise.ErrBusy)
	_, err = materialise.Edit(t.Context(), update.Empty, materialise.EditOptions{Limits: materialise.Limits{CheckBytes: -1}}, insertX)
	require.NoError(t, err)

	close(release)
	restore()
	for range materialise.MaxAbandoned {
		<-ended
	}
	require.Eventually(t, func() bool {
		running, _ := materialise.Abandoned()
		return running == 0
	}, 10*time.Second, time.Millisecond)
	_, err = materialise.Edit(t.Context(), update.Empty, materialise.EditOptions{}, insertX)
	require.NoError(t, err)
}

func TestCheckRunsOutOfTime(t *testing.T) {
	release := make(chan struct{})
	restore := materialise.SetSecond(func([]byte, materialise.Limits) ([]byte, error) {
		<-release
		return nil, nil
	})
	_, err := materialise.Edit(t.Context(), update.Empty, materialise.EditOptions{Limits: materialise.Limits{Time: 50 * time.Millisecond}}, insertX)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "does not end")
	restore()
	close(release)
	require.Eventually(t, func() bool {
		running, _ := materialise.Abandoned()
		return running == 0
	}, 10*time.Second, time.Millisecond)
}

// What the library prints of its own accord goes nowhere: here that a struct of the state waits for others.
func TestSecondIsSilent(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	stdout := os.Stdout
	os.Stdout = w
	for _, u := range [][]byte{
		{1, 1, 7, 0, 0x84, 9, 4, 1, 'x', 0},
		{1, 1, 7, 0, 31, 0},
		{1, 200, 7, 0, 4, 1, 1, 't'},
		{9, 9, 9, 9},
	} {
		_, _ = materialise.RunSecond(t.Context(), u, materialise.Limits{})
	}
	os.Stdout = stdout
	require.NoError(t, w.Close())
	printed, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Empty(t, string(printed))
}

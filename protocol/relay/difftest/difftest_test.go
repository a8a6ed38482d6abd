package difftest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/protocol/relay"
	"github.com/yserverd/yserverd/protocol/relay/difftest"
)

// frameCase is a text and what was made of it. Texts are in base64.
type frameCase struct {
	Text      []byte    `json:"text"`
	Err       string    `json:"err"`
	Kind      string    `json:"kind"`
	Data      []byte    `json:"data"`
	IfVersion *uint64   `json:"ifVersion,omitempty"`
	HasTo     bool      `json:"hasTo"`
	HasToTag  bool      `json:"hasToTag"`
	To        []byte    `json:"to"`
	ToTag     []byte    `json:"toTag"`
	Stamp     stampCase `json:"stamp"`
	Relayed   []byte    `json:"relayed"`
}

type stampCase struct {
	From   string  `json:"from"`
	UserID string  `json:"userId,omitempty"`
	Offset *uint64 `json:"offset,omitempty"`
}

// mergeCase is a merge patch and what came of it.
type mergeCase struct {
	Target []byte `json:"target"`
	Patch  []byte `json:"patch"`
	Err    string `json:"err"`
	Result []byte `json:"result"`
}

func errText(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, relay.ErrNotObject):
		return "not object"
	case errors.Is(err, relay.ErrBadFrame):
		return "bad frame"
	case errors.Is(err, relay.ErrBadJSON):
		return "not json"
	}
	return err.Error()
}

func newFrameCase(text []byte, r *rand.Rand) frameCase {
	c := frameCase{Text: text, Data: []byte{}, Relayed: []byte{}, Stamp: stampCase{From: []string{"c1", "\"é\u2028", ""}[r.IntN(3)]}}
	f, err := relay.Parse(text, relay.Limits{})
	if c.Err = errText(err); err != nil {
		return c
	}
	c.Kind, c.IfVersion = f.Kind.String(), f.IfVersion
	c.HasTo, c.HasToTag, c.To, c.ToTag = f.HasTo, f.HasToTag, []byte(f.To), []byte(f.ToTag)
	c.Data = append(c.Data, f.Data...)
	s := relay.Stamp{From: c.Stamp.From}
	if r.IntN(2) == 0 {
		c.Stamp.UserID = "a\\b"
		s.UserID = c.Stamp.UserID
	}
	if r.IntN(2) == 0 {
		s.Offset, s.HasOffset = uint64(r.Uint32()), true
		c.Stamp.Offset = &s.Offset
	}
	c.Relayed = f.AppendRelay(c.Relayed, s)
	return c
}

// TestNodeAgrees holds frames and merge patches against JSON.parse.
func TestNodeAgrees(t *testing.T) {
	node := ytest.Node(t)
	n := 40_000
	if testing.Short() {
		n = 4_000
	}
	if os.Getenv("YSERVERD_TEST_LONG") == "1" {
		n = 200_000
	}
	r := rand.New(rand.NewPCG(7386, 8259))
	g := difftest.Generator{Rand: r, Lone: true}
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	for i := range n {
		text, target, patch := g.Frame(), g.Value(), g.Value()
		if i%4 == 0 {
			text = g.Damage(text)
		}
		if i%16 == 0 {
			target, patch = g.Damage(target), g.Damage(patch)
		}
		require.NoError(t, enc.Encode(newFrameCase(text, r)))
		if i%2 > 0 {
			continue
		}
		result, err := relay.MergePatch([]byte{}, target, patch, 1<<20, 0)
		require.NoError(t, enc.Encode(mergeCase{Target: target, Patch: patch, Err: errText(err), Result: result}))
	}

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, filepath.Join("testdata", "relay.mjs"))
	cmd.Stdin = &in
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	last := lines[len(lines)-1]
	require.NotContains(t, string(out), "wrong:", "of %s", last)
	t.Log(last)
	var counts map[string]int
	require.NoError(t, json.Unmarshal([]byte(last), &counts))
	for _, sort := range []string{
		"frame relay", "frame presence", "frame state", "frame refresh", "frame reserved", "frame not object", "frame bad frame",
		"merge done", "merge not json",
	} {
		require.Greater(t, counts[sort], n/400, "next to none was looked at: %s", sort)
	}
}

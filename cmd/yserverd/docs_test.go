package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPortedExample: the program in docs/partyserver.md compiles.
func TestPortedExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/partyserver.md")
	require.NoError(t, err)
	_, source, found := bytes.Cut(page, []byte("```go\n"))
	require.True(t, found)
	source, _, found = bytes.Cut(source, []byte("```\n"))
	require.True(t, found)
	file := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(file, source, 0o600))
	out, err := exec.Command("go", "vet", file).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

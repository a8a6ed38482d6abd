package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
)

// flags parses a command line and returns the exit code that it would end with, and what was printed.
func flags(args ...string) (m *Main, code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	m = &Main{Stdout: &out, Stderr: &errs}
	code = m.report(m.ParseFlags(args))
	return m, code, out.String(), errs.String()
}

func TestParseFlagsRefuses(t *testing.T) {
	for _, row := range []struct {
		args []string
		want string
	}{
		{nil, `expected one of "dev", "serve", "check", "token", "doc", ...`},
		{[]string{"start"}, "unexpected argument start"},
		{[]string{"dev", "--port", "1"}, "unknown flag --port"},
		{[]string{"dev", "extra"}, "unexpected argument extra"},
		{[]string{"serve", "-c"}, "expected string value"},
		{[]string{"dev", "--listen", "0.0.0.0:1234"}, "--listen 0.0.0.0:1234: a development server asks nobody who they are"},
		{[]string{"dev", "--listen", ":1234"}, "--listen :1234: a development server asks nobody who they are"},
		{[]string{"dev", "--listen", "[::]:1234"}, "--listen [::]:1234: a development server asks nobody who they are"},
		{[]string{"dev", "--listen", "192.168.1.2:1234"}, "--listen 192.168.1.2:1234: a development server"},
		{[]string{"dev", "--listen", "localhost.evil.example:1234"}, "a development server"},
		{[]string{"dev", "--listen", "127.0.0.1"}, "--listen 127.0.0.1: want an address and a port"},
	} {
		_, code, stdout, stderr := flags(row.args...)
		require.Equal(t, exitUsage, code, "%q", row.args)
		require.Empty(t, stdout)
		require.Contains(t, stderr, row.want)
		require.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %q", stderr)
	}
}

func TestParseFlagsTakes(t *testing.T) {
	for _, args := range [][]string{
		{"dev"},
		{"dev", "--listen", "127.0.0.1:0", "--data", "x"},
		{"dev", "--listen", "localhost:1"},
		{"dev", "--listen", "[::1]:1"},
		{"dev", "--listen", "127.9.9.9:1"},
		{"serve"},
		{"serve", "-c", "x.yaml"},
		{"serve", "--config=x.yaml"},
		{"version"},
	} {
		m, code, stdout, stderr := flags(args...)
		require.Equal(t, exitOK, code, "%q: %s", args, stderr)
		require.Empty(t, stdout+stderr)
		require.NotNil(t, m.run)
	}
}

func TestHelp(t *testing.T) {
	_, code, stdout, stderr := flags("--help")
	require.Equal(t, exitOK, code)
	require.Empty(t, stderr)
	for _, command := range []string{"dev", "serve", "version"} {
		require.Contains(t, stdout, command)
	}
	_, code, stdout, _ = flags("dev", "--help")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "--listen")
	require.Contains(t, stdout, "127.0.0.1:1234")
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	m := &Main{Stdout: &out}
	require.NoError(t, m.ParseFlags([]string{"version"}))
	require.NoError(t, m.Run(context.Background()))
	require.Contains(t, out.String(), runtime.Version())
	require.True(t, strings.HasSuffix(out.String(), "\n"))
}

func TestReport(t *testing.T) {
	for _, row := range []struct {
		err  error
		code int
		text string
	}{
		{nil, 0, ""},
		{errHelp, 0, ""},
		{errors.New("no disk"), 3, "yserverd: no disk\n"},
		{fmt.Errorf("x: %w", &exitError{2, errors.New("what?")}), 2, "yserverd: x: what?\n"},
		{config.Errors{{File: "y.yaml", Line: 3, Key: "listen", Message: "no"}}, 1, "y.yaml:3: listen: no\nyserverd: the configuration has 1 problem and was not used\n"},
		{config.Errors{{File: "a", Message: "b"}, {File: "c", Message: "d"}}, 1, "a: b\nc: d\nyserverd: the configuration has 2 problems and was not used\n"},
	} {
		var errs bytes.Buffer
		m := &Main{Stderr: &errs}
		require.Equal(t, row.code, m.report(row.err))
		require.Equal(t, row.text, errs.String())
	}
}

func TestBanner(t *testing.T) {
	text := banner(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4321}, "./data", "t0ken")
	for _, want := range []string{
		"ws://127.0.0.1:4321/<room>", "ws://127.0.0.1:4321/parties/main/<room>", "http://127.0.0.1:4321/readyz", "./data",
		"http://127.0.0.1:4321/admin/v1/openapi.json", "t0ken",
		"ws://127.0.0.1:4321/parties/lobby/<room>", "new PartySocket({ host: '127.0.0.1:4321', party: 'lobby', room: 'my-room' })",
		"new WebsocketProvider('ws://127.0.0.1:4321', 'my-room', doc)", "new YProvider('127.0.0.1:4321', 'my-room', doc)",
	} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "HOST")
	require.Contains(t, text, "its token       t0ken ")
	require.Contains(t, text, " YSERVERD_ADMIN_TOKEN ")
	require.Contains(t, banner(&net.TCPAddr{IP: net.IPv6loopback, Port: 4321}, "d", "t"), "ws://localhost:4321/<room>")
}

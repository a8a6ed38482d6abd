package main

import (
	"io"
	"log/slog"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
)

// newLogger returns the logger of a process.
func newLogger(w io.Writer, c config.Log) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

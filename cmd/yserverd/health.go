package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// healthTimeout is how long a server may take to say that it is well.
const healthTimeout = 5 * time.Second

// healthCommand asks a server how it is: for containers that have no other program in them.
type healthCommand struct {
	URL string `arg:"" optional:"" default:"http://127.0.0.1:1234/healthz" help:"What to ask. /readyz asks whether it takes connections and stores what it is sent."`
}

// Run asks, and fails unless the answer is 200.
func (c *healthCommand) Run(ctx context.Context, m *Main) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	client := http.Client{Timeout: healthTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		return &exitError{exitFailed, err}
	}
	defer func() { _ = answer.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10)) // what it says besides its status is for people
	if answer.StatusCode != http.StatusOK {
		return &exitError{exitFailed, fmt.Errorf("%s answers %s: %q", c.URL, answer.Status, body)}
	}
	_, err = m.Stdout.Write(body)
	return err
}

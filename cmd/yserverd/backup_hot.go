package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/admin"
	"github.com/yserverd/yserverd/cmd/yserverd/internal/admin/archive"
)

const (
	// adminTokenVariable has the token of commands that use the admin API.
	adminTokenVariable = "YSERVERD_ADMIN_TOKEN"
	// defaultServer is where dev and the example configuration listen.
	defaultServer = "http://127.0.0.1:1234"
	// answerTimeout is how long a server may take to begin its answer: it copies its log first.
	answerTimeout = 2 * time.Minute
	// stallTimeout is how long a server may send nothing.
	stallTimeout = 2 * time.Minute
)

// hotBackup fetches a copy of the store of a running server.
type hotBackup struct {
	url    *url.URL
	token  string
	report io.Writer
}

// newHotBackup checks what the command line says.
func newHotBackup(server, token string, m *Main) (*hotBackup, error) {
	server = cmp.Or(server, defaultServer)
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, &exitError{exitUsage, errors.New("--url: want the address of a server such as " + defaultServer)}
	}
	if token = cmp.Or(token, variable(m.Environ, adminTokenVariable)); token == "" {
		return nil, &exitError{exitUsage, fmt.Errorf("the copy of a running server needs an admin token: set %s; "+
			"to copy the store of a server that does not run use --data DIR or -c FILE", adminTokenVariable)}
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/admin"
	}
	return &hotBackup{u.JoinPath("v1", "backup"), token, m.Stderr}, nil
}

// variable returns what an environment has under a name.
func variable(environ []string, name string) string {
	for _, entry := range environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// fetch asks for a copy and unpacks it into a folder, which it makes.
func (h *hotBackup) fetch(ctx context.Context, dir string) error {
	if h.url.Scheme == "http" && !isLoopback(h.url.Hostname()) {
		_, _ = fmt.Fprintf(h.report, "warning: token and documents go to %s unencrypted\n", h.url.Host)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(answerTimeout, func() { cancel(fmt.Errorf("%s does not answer", h.url.Host)) })
	defer watch.Stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url.String(), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+h.token)
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true, Proxy: http.ProxyFromEnvironment},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token is for this server
	}
	answer, err := client.Do(r)
	if err != nil {
		return h.explain(cause(ctx, err))
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return h.refused(answer)
	}
	_, _ = fmt.Fprintf(h.report, "copying the store of the running server at %s\n", h.url.Host)
	body := &watchedReader{r: answer.Body, watch: watch}
	watch.Reset(stallTimeout)
	return cause(ctx, receive(body, dir, h.report))
}

// cause returns why a context was cancelled, where that is the reason of an error.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// isLoopback reports whether a host is this machine.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// watchedReader holds off a timer as long as something comes.
type watchedReader struct {
	r     io.Reader
	watch *time.Timer
}

// Read implements io.Reader.
func (w *watchedReader) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	w.watch.Reset(stallTimeout)
	return n, err
}

// explain says what to do about a server that is not there.
func (h *hotBackup) explain(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no server answers at %s; if it is stopped, copy its store with --data DIR or -c FILE", h.url.Host)
	}
	return err
}

// refused says what the server said.
func (h *hotBackup) refused(answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10)) // the status says enough
	var e admin.Error
	if json.Unmarshal(text, &e) != nil || e.Code == "" {
		hint := ""
		if answer.StatusCode == http.StatusNotFound {
			hint = "; is there an admin API (admin.tokens), and is it at this address (admin.path, admin.listen)?"
		}
		return fmt.Errorf("%s answers %s%s", h.url, answer.Status, hint)
	}
	if e.Hint != "" {
		e.Message += "; " + e.Hint
	}
	return fmt.Errorf("%s: %s", h.url.Host, e.Message)
}

// unpack checks and unpacks a copy that somebody else downloaded.
func (c *backupCommand) unpack(m *Main, dir string) error {
	in := m.Stdin
	if c.From != "-" {
		f, err := os.Open(c.From)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	return receive(in, dir, m.Stderr)
}

// receive unpacks a copy into a folder, which it makes, and says how it gets on.
func receive(r io.Reader, dir string, report io.Writer) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	told := time.Now()
	head, err := archive.Unpack(r, dir, func(head *archive.Header, written int64) {
		if time.Since(told) >= progressInterval {
			told = time.Now()
			_, _ = fmt.Fprintf(report, "%s of %s, %d%%\n", mebibytes(written), mebibytes(head.Bytes), 100*written/max(head.Bytes, 1))
		}
	})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(report, "%s, %s, as of %s\n", count(head.Files, "file"), mebibytes(head.Bytes), head.Started.Format(time.RFC3339))
	if head.Bucket {
		_, _ = fmt.Fprintln(report, "its snapshots are in a bucket: back that up now, after the store")
	}
	return nil
}

// mebibytes is a number of bytes for people.
func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

package admin

import (
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/yserverd/yserverd/gate"
)

// Token is somebody who may use the API. The token itself is known to nobody but them.
type Token struct {
	Name   string            // for the log
	SHA256 [sha256.Size]byte // of the token's bytes
	Write  bool              // false: GET alone
}

// Config is what an API works with.
type Config struct {
	// Path is what the paths of all requests begin with: a leading slash and no trailing one.
	Path string
	// Tokens are those who are let in, at least one.
	Tokens []Token
	// Version is that of the program, for the description of the API and for backups.
	Version string
	// Stats returns the figures of the server. It may take a while.
	Stats func() Stats
	// Backup is where copies of the store come from. Zero means that the store cannot be copied by this server.
	Backup *BackupSource

	// Origin says which pages may use the API. Zero means none but those of the same origin.
	Origin *gate.OriginPolicy
	// ClientAddr tells the address of a request's client. Zero means that of the connection.
	ClientAddr func(*http.Request) string
	// FailuresPerMinute is how many wrong tokens of one address are answered with 401; further ones are with 429. Zero
	// means 120, and a negative number no limit.
	FailuresPerMinute int
	// Stall is how long a client of a backup may take nothing before it is cut off. Zero means one minute.
	Stall time.Duration
	// Now tells the time. Zero means time.Now.
	Now func() time.Time
	// Logger takes what was done and by whom. Zero means slog.Default.
	Logger *slog.Logger
}

// BackupSource is a store that can be copied while it is used.
type BackupSource struct {
	// Store is its identity.
	Store string
	// Bucket says that snapshots are in a bucket besides.
	Bucket bool
	// Checkpoint makes a consistent copy in a folder of plain files, and returns the folder and what removes it.
	Checkpoint func() (dir string, remove func() error, err error)
}

func (c Config) withDefaults() Config {
	if c.ClientAddr == nil {
		c.ClientAddr = func(r *http.Request) string { return r.RemoteAddr }
	}
	if c.FailuresPerMinute == 0 {
		c.FailuresPerMinute = 120
	}
	if c.Stall == 0 {
		c.Stall = time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c *Config) validate() error {
	switch {
	case !strings.HasPrefix(c.Path, "/") || strings.HasSuffix(c.Path, "/"):
		return errors.New("admin: the path has a leading slash and no trailing one")
	case len(c.Tokens) == 0:
		return errors.New("admin: without a token nobody could use it")
	case c.Stats == nil:
		return errors.New("admin: no figures")
	case c.Stall < 0:
		return errors.New("admin: a limit is negative")
	}
	return nil
}

package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/admin/archive"
	"github.com/yserverd/yserverd/gate"
)

// maxBackups is how many backups may run at once: each holds tables that the store has done with.
const maxBackups = 2

// retryBackup is when to ask again while others run.
const retryBackup = 30 * time.Second

// The errors of a backup.
var (
	errNeedsWrite = &Error{
		status: http.StatusForbidden, Layer: gate.LayerAccess, Code: "ACCESS_ROLE_REQUIRED",
		Message: "this token may only read, and not this", Hint: "use a token whose role is write: a backup holds everything that the server has",
	}
	errNoBackup = &Error{
		status: http.StatusNotImplemented, Layer: gate.LayerValidation, Code: "BACKUP_UNSUPPORTED",
		Message: "the documents are in a database, which this server does not copy",
		Hint:    "back up the database first (pg_dump, or base backups with WAL), then the bucket of snapshots if there is one",
	}
	errBackupBusy = &Error{
		status: http.StatusTooManyRequests, Layer: gate.LayerValidation, Code: "BACKUP_BUSY",
		Message: "two backups are under way already", Hint: "wait for one of them to end", retry: retryBackup,
	}
	errBackupFailed = &Error{
		status: http.StatusServiceUnavailable, Layer: gate.LayerValidation, Code: "BACKUP_FAILED",
		Message: "the store could not be copied", Hint: "the log of the server says why", retry: retryBackup,
	}
)

// addBackup adds GET /v1/backup.
func (a *API) addBackup() {
	huma.Register(a.huma, huma.Operation{
		OperationID: "get-backup", Method: http.MethodGet, Path: "/v1/backup", Tags: []string{"operations"},
		Summary: "A consistent copy of the embedded store, while it is used",
		Description: "A tar stream: yserverd-backup.json, which says what it is; the files of the store; and yserverd-backup-end.json " +
			"with size and SHA-256 of each. One without that end broke off and is worth nothing. It has everything that was acknowledged " +
			"before the request. `yserverd backup DIR` fetches, checks and unpacks it. Needs a token that may write. " +
			"Snapshots that are in a bucket are not in it: copy the bucket afterwards.",
		Errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusNotImplemented, http.StatusServiceUnavailable},
		Responses: map[string]*huma.Response{"200": {
			Description: "The copy.",
			Content:     map[string]*huma.MediaType{"application/x-tar": {Schema: &huma.Schema{Type: "string", Format: "binary"}}},
		}},
	}, func(context.Context, *struct{}) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			r, w := humachi.Unwrap(ctx)
			a.backup(w, r)
		}}, nil
	})
}

// backup answers a request for a copy.
func (a *API) backup(w http.ResponseWriter, r *http.Request) {
	switch {
	case !tokenOf(r.Context()).Write:
		errNeedsWrite.write(w)
		return
	case a.cfg.Backup == nil:
		errNoBackup.write(w)
		return
	}
	select {
	case a.backups <- struct{}{}:
		defer func() { <-a.backups }()
	default:
		errBackupBusy.write(w)
		return
	}
	started := a.cfg.Now()
	dir, remove, err := a.cfg.Backup.Checkpoint()
	if err != nil {
		a.cfg.Logger.Error("backup", "error", err)
		errBackupFailed.write(w)
		return
	}
	defer func() {
		if err := remove(); err != nil {
			a.cfg.Logger.Error("backup: what was copied could not be removed", "error", err)
		}
	}()
	h := w.Header()
	h.Set("Content-Type", "application/x-tar")
	h.Set("Content-Disposition", `attachment; filename="yserverd-`+started.UTC().Format("20060102T150405Z")+`.tar"`)
	out := &stallWriter{w: w, control: http.NewResponseController(w), stall: a.cfg.Stall}
	err = archive.Write(r.Context(), out, dir, archive.Header{
		Server: a.cfg.Version, Store: a.cfg.Backup.Store, Started: started.UTC(), Bucket: a.cfg.Backup.Bucket,
	})
	if err != nil {
		a.cfg.Logger.Warn("backup: it broke off", "error", err, "token", tokenOf(r.Context()).Name)
		panic(http.ErrAbortHandler) // so that the client, which has its 200, learns of it
	}
	_ = out.control.SetWriteDeadline(time.Time{})
}

// stallWriter gives each piece its time.
type stallWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	set     time.Time // when the deadline was set last
}

// Write implements io.Writer.
func (s *stallWriter) Write(b []byte) (int, error) {
	if now := time.Now(); now.Sub(s.set) > s.stall/4 {
		if err := s.control.SetWriteDeadline(now.Add(s.stall)); err != nil {
			return 0, err
		}
		s.set = now
	}
	return s.w.Write(b)
}

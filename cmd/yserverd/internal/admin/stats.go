package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// Stats are the figures of a server at a moment. Counts are since it started.
type Stats struct {
	Version       string  `json:"version" doc:"Version of the program."`
	UptimeSeconds float64 `json:"uptime_seconds" doc:"Since the program started."`
	Ready         bool    `json:"ready" doc:"It takes connections and stores what it is sent, as /readyz says it."`
	Store         string  `json:"store" enum:"embedded,postgres" doc:"Where the log of documents is."`
	Bucket        bool    `json:"bucket" doc:"Snapshots are in a bucket."`
	HeapBytes     uint64  `json:"heap_bytes" doc:"Memory of live and not yet collected objects."`
	Goroutines    int     `json:"goroutines" doc:"Of the program."`

	Connections   int   `json:"connections" doc:"Open now."`
	Rooms         int   `json:"rooms" doc:"In memory now."`
	DocumentBytes int64 `json:"document_bytes" doc:"Encoded documents in memory now."`
	PendingBytes  int64 `json:"pending_bytes" doc:"Accepted and not yet stored, so not acknowledged."`
	QueuedBytes   int64 `json:"queued_bytes" doc:"What waits to be written to clients now."`

	Loads           int64 `json:"loads" doc:"Rooms loaded."`
	LoadFailures    int64 `json:"load_failures" doc:"Rooms that could not be loaded."`
	Folds           int64 `json:"folds" doc:"Logs folded into snapshots."`
	FoldFailures    int64 `json:"fold_failures" doc:"Of these, those that failed and are tried again."`
	BadFrames       int64 `json:"bad_frames" doc:"Malformed frames dropped."`
	OverLimit       int64 `json:"over_limit" doc:"Well-formed input that a limit refused."`
	RefusedWrites   int64 `json:"refused_writes" doc:"Writes of read-only connections."`
	RoomPanics      int64 `json:"room_panics" doc:"Rooms that died."`
	HookPanics      int64 `json:"hook_panics" doc:"Hooks that panicked."`
	HookErrors      int64 `json:"hook_errors" doc:"Errors that hooks returned."`
	HooksStuck      int64 `json:"hooks_stuck" doc:"Hooks that did not return, and cost their room."`
	SaveFailures    int64 `json:"save_failures" doc:"Tries of hooks and webhooks for saves that failed."`
	Hibernations    int64 `json:"hibernations" doc:"Rooms taken out of memory with their connections open."`
	StaleCopies     int64 `json:"stale_copies" doc:"Connections shut out for a copy of a former epoch."`
	Versions        int64 `json:"versions" doc:"Automatic versions made."`
	VersionErrors   int64 `json:"version_errors" doc:"Automatic versions that could not be made."`
	Swept           int64 `json:"swept" doc:"Documents and objects that the sweep removed."`
	SweepErrors     int64 `json:"sweep_errors" doc:"Sweeps that failed."`
	Dismissed       int64 `json:"dismissed" doc:"Connections closed because their access ended."`
	Refreshes       int64 `json:"refreshes" doc:"Connections that brought a new token."`
	RefreshFailures int64 `json:"refresh_failures" doc:"Tokens that were refused then."`
	RecheckErrors   int64 `json:"recheck_errors" doc:"Times that a gate could not decide again."`
	Hidden          int64 `json:"hidden" doc:"Presence dropped of those who are to have none."`
	UpgradesRefused int64 `json:"upgrades_refused" doc:"Because of too many, or a client that comes back too fast."`
	Closes          int64 `json:"closes" doc:"Connections that ended."`
	UncleanCloses   int64 `json:"unclean_closes" doc:"Of these, without a closing handshake."`
	Conflations     int64 `json:"conflations" doc:"Slow clients whose queue was replaced by one diff."`
}

// statsOutput is the answer to GET /v1/stats.
type statsOutput struct {
	Body Stats
}

// addStats adds GET /v1/stats.
func (a *API) addStats() {
	huma.Register(a.huma, huma.Operation{
		OperationID: "get-stats", Method: http.MethodGet, Path: "/v1/stats", Tags: []string{"operations"},
		Summary: "The figures of the server at this moment",
		Errors:  []int{http.StatusUnauthorized, http.StatusTooManyRequests},
	}, func(context.Context, *struct{}) (*statsOutput, error) {
		return &statsOutput{Body: a.cfg.Stats()}, nil
	})
}

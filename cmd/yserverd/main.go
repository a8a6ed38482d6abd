// Command yserverd serves collaborative Yjs documents and message rooms to unmodified y-websocket, y-partyserver and
// partysocket clients.
//
//	yserverd dev                       public documents and message rooms on loopback, no configuration
//	yserverd serve -c yserverd.yaml    what the file declares
//	yserverd check -c yserverd.yaml    look at a configuration, and at the database and bucket that it names
//	yserverd token --user U            a JWT that serve believes, for trying things out
//	yserverd doc list|get|put|rm|export|import
//	                                   look at, export and import the documents of a store
//	yserverd backup COPY               copy the embedded store of a running server, through its admin API
//	yserverd backup --data DIR COPY    copy that of a server that does not run
//	yserverd health [URL]              ask a running server whether it is well
//	yserverd version
//
// Exit codes: 0 after a clean end, 1 for a configuration that does not hold or something asked of a store that cannot be
// done, 2 for a wrong command line, 3 when the server
// could not start or could not store everything before it ended. SIGTERM and SIGINT end it in order within
// shutdown_timeout; a second one ends it at once.
//
// This package is the only one that knows which adapter serves which interface; store.go and wire.go put them together. Nothing
// imports it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	m := &Main{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ()}
	if err := m.ParseFlags(os.Args[1:]); err != nil {
		os.Exit(m.report(err))
	}
	ctx, stop := untilSignal(context.Background(), func() {
		_, _ = fmt.Fprintln(os.Stderr, "yserverd: a second signal: ended at once")
		os.Exit(exitStart)
	})
	code := m.report(m.Run(ctx))
	stop()
	os.Exit(code)
}

// untilSignal returns a context that ends at the first SIGTERM or SIGINT. A second one calls impatient. stop ends the
// watch.
func untilSignal(parent context.Context, impatient func()) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for act := cancel; ; act = impatient {
			select {
			case <-signals:
				act()
			case <-stopped:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(stopped)
		<-ended
		cancel()
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/alecthomas/kong"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/yserver"
)

// The exit codes of the command.
const (
	exitOK     = 0
	exitConfig = 1 // the configuration does not hold,
	exitFailed = 1 // or what was asked of a store or a server cannot be done
	exitUsage  = 2 // the command line makes no sense
	exitStart  = 3 // could not start, or could not end in order
)

// exitError is an error with the exit code that it calls for. Without an error it has been said already.
type exitError struct {
	code int
	err  error
}

// Error returns the text of the error itself.
func (e *exitError) Error() string {
	if e.err == nil {
		return "it has been said why"
	}
	return e.err.Error()
}

// Unwrap returns the error itself.
func (e *exitError) Unwrap() error { return e.err }

// errHelp ends a run that printed its help.
var errHelp = errors.New("help")

// Main is the program without its process: tests fill it in, and run it beside themselves.
type Main struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Environ is the environment, as os.Environ returns it.
	Environ []string
	// Listening is told the address as soon as connections are taken. Nil means that nobody asks.
	Listening func(net.Addr)

	run func(ctx context.Context) error // the command, from ParseFlags
}

// commandLine is the grammar of the command line.
type commandLine struct {
	Dev struct {
		Listen string `default:"127.0.0.1:1234" help:"Loopback address and port to listen on; port 0 takes a free one."`
		Data   string `default:"./yserverd-data" help:"Folder for the data."`
	} `cmd:"" help:"Serve on this machine only, without a configuration: documents in the party main, with y-websocket at /, and messages in the party lobby."`
	Serve struct {
		Config string `short:"c" default:"yserverd.yaml" placeholder:"FILE" help:"Configuration file."`
	} `cmd:"" help:"Serve what a configuration file declares."`
	Check   checkCommand  `cmd:"" help:"Look at a configuration as serve does, the database and the bucket too, and start nothing."`
	Token   tokenCommand  `cmd:"" help:"Print a JWT that the server of a configuration believes; for trying things out."`
	Doc     docCommands   `cmd:"" help:"Look at, export and import the documents of a store."`
	Backup  backupCommand `cmd:"" help:"Copy the embedded store of a running server through its admin API, or that of a stopped one."`
	Health  healthCommand `cmd:"" help:"Ask a running server whether it is well; for health checks of containers."`
	Version struct{}      `cmd:"" help:"Print version, commit and Go version."`
}

// ParseFlags reads the arguments behind the program's name and chooses the command. It starts nothing. Its error calls
// for an exit; give it to report.
func (m *Main) ParseFlags(args []string) error {
	var line commandLine
	helped := false
	parser, err := kong.New(&line,
		kong.Name("yserverd"),
		kong.Description("Serves collaborative Yjs documents and message rooms to y-websocket, y-partyserver and partysocket clients."),
		kong.Writers(m.Stdout, m.Stderr),
		kong.Exit(func(int) { helped = true }),
	)
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	switch {
	case helped:
		return errHelp
	case err != nil:
		return &exitError{exitUsage, fmt.Errorf("%w (yserverd --help tells the commands)", err)}
	}
	switch parsed.Command() {
	case "dev":
		if err := loopbackOnly(line.Dev.Listen); err != nil {
			return &exitError{exitUsage, err}
		}
		m.run = func(ctx context.Context) error { return m.dev(ctx, line.Dev.Listen, line.Dev.Data) }
	case "serve":
		m.run = func(ctx context.Context) error { return m.serve(ctx, line.Serve.Config) }
	case "version":
		m.run = func(context.Context) error {
			_, err := fmt.Fprintln(m.Stdout, version())
			return err
		}
	default:
		m.run = func(ctx context.Context) error {
			parsed.BindTo(ctx, (*context.Context)(nil))
			return parsed.Run(m)
		}
	}
	return nil
}

// Run runs the command that ParseFlags chose. A server runs until ctx ends, and then as long as it takes to store
// everything. Give its error to report.
func (m *Main) Run(ctx context.Context) error { return m.run(ctx) }

// report tells an error to the user and returns the exit code that it calls for.
func (m *Main) report(err error) int {
	if err == nil || errors.Is(err, errHelp) {
		return exitOK
	}
	if code, said := errSaid(err); said {
		return code
	}
	var problems config.Errors
	if errors.As(err, &problems) {
		_, _ = fmt.Fprintln(m.Stderr, problems.Error())
		_, _ = fmt.Fprintf(m.Stderr, "yserverd: the configuration has %s and was not used\n", count(len(problems), "problem"))
		return exitConfig
	}
	_, _ = fmt.Fprintf(m.Stderr, "yserverd: %v\n", err)
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return exitStart
}

// count returns "1 problem", "2 problems".
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// serve runs the server that a configuration file declares.
func (m *Main) serve(ctx context.Context, file string) error {
	cfg, err := config.Load(file, config.Options{Environ: m.Environ, PartyName: yserver.KebabCase})
	if err != nil {
		return err
	}
	log := newLogger(m.Stderr, cfg.Log)
	for _, w := range cfg.Warnings {
		log.Warn("configuration", "warning", w.String())
	}
	g, err := openGates(ctx, cfg, log)
	if err != nil {
		return err
	}
	s, err := start(ctx, cfg, forEverybody, g, log)
	if err != nil {
		return err
	}
	log.Info("listening", "address", s.addr().String(), "version", version(), "parties", partyNames(cfg), "store", storePlace(cfg), "admin", adminPlace(s, cfg))
	if m.Listening != nil {
		m.Listening(s.addr())
	}
	return s.runUntil(ctx)
}

package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
)

// The parties of a development server: documents, under the name that y-partyserver's provider asks for when it is told
// none, and messages.
const (
	devParty = "main"
	devLobby = "lobby"
)

// loopbackOnly refuses an address to listen on that other machines could reach.
func loopbackOnly(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--listen %s: want an address and a port such as 127.0.0.1:1234", address)
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsLoopback() || host == "localhost" {
		return nil
	}
	return fmt.Errorf("--listen %s: a development server asks nobody who they are, so it listens on loopback only; "+
		"to be reached from elsewhere use yserverd serve", address)
}

// devConfig is the configuration of a development server.
func devConfig(listen, data string) *config.Config {
	cfg := config.Default()
	cfg.Listen, cfg.DataDir = listen, data
	document, message := config.DefaultRoom(), config.DefaultRoom()
	document.Party, document.Type, document.Access, document.YWebSocket.Path = devParty, config.TypeDocument, config.PublicAccess(), "/"
	message.Party, message.Type, message.Access = devLobby, config.TypeMessage, config.PublicAccess()
	cfg.Rooms[devParty], cfg.Rooms[devLobby] = document, message
	return cfg
}

// dev runs a development server.
func (m *Main) dev(ctx context.Context, listen, data string) error {
	cfg := devConfig(listen, data)
	token, entry := drawToken("dev")
	cfg.Admin.Tokens = append(cfg.Admin.Tokens, entry)
	s, err := start(ctx, cfg, forThisMachine, nil, newLogger(m.Stderr, cfg.Log))
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(m.Stdout, banner(s.addr(), data, token)); err != nil {
		return s.end(err)
	}
	if m.Listening != nil {
		m.Listening(s.addr())
	}
	return s.runUntil(ctx)
}

// banner tells where a development server is, how to connect to it and how to operate it.
func banner(addr net.Addr, data, token string) string {
	host := addr.String()
	if _, port, err := net.SplitHostPort(host); err == nil && strings.HasPrefix(host, "[") {
		host = "localhost:" + port // the clients take an IPv6 address for one that needs TLS
	}
	return strings.NewReplacer("HOST", host, "DATA", data, "SECRET", token, "VERSION", version()).Replace(`
  yserverd dev · VERSION

  y-websocket     ws://HOST/<room>
  y-partyserver   ws://HOST/parties/main/<room>
  partysocket     ws://HOST/parties/lobby/<room>   presence, messages, a shared state
  health          http://HOST/healthz   http://HOST/readyz
  admin API       http://HOST/admin/v1/openapi.json
  its token       SECRET   (a new one at each start; YSERVERD_ADMIN_TOKEN for yserverd backup)
  data            DATA

  Everybody on this machine may read and write; pages of loopback origins may connect, others may not.
  Ctrl-C stores everything and ends.

  Paste one of these:

    // npm install yjs@13 y-websocket
    import * as Y from 'yjs'
    import { WebsocketProvider } from 'y-websocket'

    const doc = new Y.Doc()
    const provider = new WebsocketProvider('ws://HOST', 'my-room', doc)

    // npm install yjs@13 y-partyserver
    import * as Y from 'yjs'
    import YProvider from 'y-partyserver/provider'

    const doc = new Y.Doc()
    const provider = new YProvider('HOST', 'my-room', doc)

    // npm install partysocket
    import PartySocket from 'partysocket'

    const socket = new PartySocket({ host: 'HOST', party: 'lobby', room: 'my-room' })
    socket.addEventListener('message', (event) => console.log(event.data))
    socket.send(JSON.stringify({ type: 'chat', text: 'hello' }))

`)[1:]
}

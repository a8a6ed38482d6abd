package ytest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// ClientConfig says what a client is and where it connects to.
type ClientConfig struct {
	// Name tells clients apart. Empty means one that is made up.
	Name string `json:"-"`
	Kind string `json:"kind"`

	// URL is the server, as in "ws://127.0.0.1:1234" with a path where the rooms are under one. For kind Socket it is the
	// whole address.
	URL  string `json:"url"`
	Room string `json:"room,omitempty"`

	Party        string            `json:"party,omitempty"`        // YProvider and PartySocket
	Prefix       string            `json:"prefix,omitempty"`       // theirs, each with its own meaning
	ConnectionID string            `json:"connectionID,omitempty"` // theirs, _pk
	Params       map[string]string `json:"params,omitempty"`       // of the query
	Protocols    []string          `json:"protocols,omitempty"`    // subprotocols
	Headers      map[string]string `json:"headers,omitempty"`      // Socket

	Awareness        any    `json:"awareness,omitempty"`        // the local state to begin with
	ClientID         uint64 `json:"clientID,omitempty"`         // of the document; zero means a random one
	State            []byte `json:"state,omitempty"`            // an update that the document begins with
	BroadcastChannel bool   `json:"broadcastChannel,omitempty"` // on for the providers, which are also tabs of one browser then
	RecordFrames     bool   `json:"recordFrames,omitempty"`     // keep what a document's client receives; sockets always do
	MaxBackoffTime   int    `json:"maxBackoffTime,omitempty"`   // milliseconds
	ResyncInterval   int    `json:"resyncInterval,omitempty"`   // milliseconds
	Disconnected     bool   `json:"-"`                          // do not connect yet

	BinaryType    string         `json:"binaryType,omitempty"`    // PartySocket: blob, its default, or arraybuffer
	SocketOptions map[string]any `json:"socketOptions,omitempty"` // PartySocket: its own, such as minReconnectionDelay
	StopOn        []int          `json:"stopOn,omitempty"`        // PartySocket: close codes after which it stays closed
	CountAttempts bool           `json:"countAttempts,omitempty"` // PartySocket: the query tells the number of the attempt
}

// NodeClient is one client. Its calls end with the context, or after 15 seconds where that has no deadline; errors of the
// waiting ones say what the client looked like instead.
type NodeClient struct {
	n    *NodeClients
	name string
}

// New makes a client, which connects unless the configuration says otherwise. It does not wait for the connection.
func (n *NodeClients) New(ctx context.Context, cfg ClientConfig) (*NodeClient, error) {
	if cfg.Name == "" {
		n.mu.Lock()
		n.names++
		cfg.Name = fmt.Sprintf("client%d", n.names)
		n.mu.Unlock()
	}
	b, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	var config map[string]any
	if err := json.Unmarshal(b, &config); err != nil {
		return nil, err
	}
	if cfg.Disconnected {
		config["connect"] = false
	}
	c := &NodeClient{n: n, name: cfg.Name}
	return c, c.call(ctx, nil, "create", map[string]any{"config": config})
}

func (c *NodeClient) call(ctx context.Context, result any, op string, fields map[string]any) error {
	request := map[string]any{"op": op, "client": c.name}
	for k, v := range fields {
		request[k] = v
	}
	return c.n.call(ctx, result, request)
}

// Name returns the client's name.
func (c *NodeClient) Name() string { return c.name }

// ClientView is what a client sees.
type ClientView struct {
	Connected  bool          `json:"connected"`
	Sockets    int           `json:"sockets"`  // made so far
	Closes     []CloseView   `json:"closes"`   // of sockets, in order
	Refusals   []int         `json:"refusals"` // HTTP statuses of refused upgrades
	Errors     []string      `json:"errors"`
	Customs    []string      `json:"customs"` // custom messages received
	URL        string        `json:"url"`     // of the last socket
	Frames     FrameCounters `json:"frames"`
	Synced     bool          `json:"synced"`
	Stopped    *CloseView    `json:"stopped"`    // the provider's "closed" event: it will not connect again
	Reconnects bool          `json:"reconnects"` // whether the provider would
	Pending    bool          `json:"pending"`    // structs or deletes wait in the document
	Denied     []string      `json:"denied"`     // reasons of permission denied messages

	ClientID    uint64                     `json:"clientID"`
	Text        string                     `json:"text"` // of the text "t"
	JSON        map[string]json.RawMessage `json:"json"` // of the map "m" and the array "a", where they are in use; bytes as "<n bytes>"
	StateVector string                     `json:"stateVector"`
	Awareness   map[uint64]json.RawMessage `json:"awareness"`
	Echoes      struct{ Made, Back int }   `json:"echoes"` // own updates, and how many came back from the server
	Saves       int                        `json:"saves"`  // sync statuses asked for
	Saved       int                        `json:"saved"`  // the greatest that was answered

	// Of a PartySocket.
	ID       string    `json:"id"`       // the connection's
	Protocol string    `json:"protocol"` // the subprotocol that the server chose
	Opens    int       `json:"opens"`    // how often it was connected
	Delays   []float64 `json:"delays"`   // before each socket, in milliseconds, as it chose them
}

// CloseView is how a connection ended.
type CloseView struct {
	Code     int    `json:"code"`
	Reason   string `json:"reason"`
	WasClean bool   `json:"wasClean"` // PartySocket
}

// FrameCounters counts what a client received.
type FrameCounters struct {
	Received int            `json:"received"`
	Bytes    int64          `json:"bytes"`
	Text     int            `json:"text"`
	Kinds    map[string]int `json:"kinds"` // binary ones: step1, step2, update, awareness, auth, query, saved
}

// View returns what the client sees now.
func (c *NodeClient) View(ctx context.Context) (ClientView, error) {
	var v ClientView
	err := c.call(ctx, &v, "view", nil)
	return v, err
}

// Edit is one edit of a client's document.
type Edit map[string]any

// InsertText inserts into the text "t" at a position in UTF-16 units, -1 for its end.
func InsertText(at int, text string) Edit { return Edit{"op": "insert", "at": at, "text": text} }

// DeleteText deletes a part of the text "t", counted in UTF-16 units.
func DeleteText(at, length int) Edit { return Edit{"op": "delete", "at": at, "length": length} }

// SetKey sets a key of the map "m" to what JSON makes of the value.
func SetKey(key string, value any) Edit { return Edit{"op": "set", "key": key, "value": value} }

// UnsetKey removes a key of the map.
func UnsetKey(key string) Edit { return Edit{"op": "unset", "key": key} }

// FillKey sets a key of the map to that many bytes, which views show as "<n bytes>".
func FillKey(key string, length int) Edit { return Edit{"op": "fill", "key": key, "length": length} }

// Edit makes edits, each a transaction of its own.
func (c *NodeClient) Edit(ctx context.Context, edits ...Edit) error {
	return c.call(ctx, nil, "edit", map[string]any{"steps": edits})
}

// EditTogether makes edits in one transaction.
func (c *NodeClient) EditTogether(ctx context.Context, edits ...Edit) error {
	return c.call(ctx, nil, "edit", map[string]any{"steps": edits, "together": true})
}

// Burst appends a text many times, each time in a transaction and a turn of the event loop of its own. A # in it stands
// for the number of the turn. What was appended is a note that Echoes returns once it is back.
func (c *NodeClient) Burst(ctx context.Context, text string, count int, interval time.Duration) error {
	return c.call(ctx, nil, "burst", map[string]any{"text": text, "count": count, "interval": interval.Milliseconds(), "stopClosed": true})
}

// Echoes returns how many updates the client made, how many of them the server sent back, and the texts of those of
// Burst among them. What is back must survive the server.
func (c *NodeClient) Echoes(ctx context.Context) (made, back int, notes []string, err error) {
	var r struct {
		Made, Back int
		Notes      []string
	}
	err = c.call(ctx, &r, "echoes", nil)
	return r.Made, r.Back, r.Notes, err
}

// SetAwareness sets the local awareness state; nil removes it.
func (c *NodeClient) SetAwareness(ctx context.Context, state any) error {
	return c.call(ctx, nil, "awareness", map[string]any{"state": state})
}

// Connect connects again after Disconnect.
func (c *NodeClient) Connect(ctx context.Context) error { return c.call(ctx, nil, "connect", nil) }

// Disconnect disconnects as an application does.
func (c *NodeClient) Disconnect(ctx context.Context) error {
	return c.call(ctx, nil, "disconnect", nil)
}

// DisconnectWith closes a Socket or PartySocket with a code and a reason.
func (c *NodeClient) DisconnectWith(ctx context.Context, code int, reason string) error {
	return c.call(ctx, nil, "disconnect", map[string]any{"code": code, "reason": reason})
}

// Terminate breaks the TCP connection without a close frame. The provider connects again by itself, unless stay.
func (c *NodeClient) Terminate(ctx context.Context, stay bool) error {
	return c.call(ctx, nil, "terminate", map[string]any{"stay": stay})
}

// Pause stops reading from the socket, so that the server's writes fill the buffers between them.
func (c *NodeClient) Pause(ctx context.Context) error { return c.call(ctx, nil, "pause", nil) }

// Resume reads on.
func (c *NodeClient) Resume(ctx context.Context) error { return c.call(ctx, nil, "resume", nil) }

// SendText sends a text frame.
func (c *NodeClient) SendText(ctx context.Context, text string) error {
	return c.call(ctx, nil, "send", map[string]any{"text": text})
}

// SendBinary sends a binary frame.
func (c *NodeClient) SendBinary(ctx context.Context, data []byte) error {
	return c.call(ctx, nil, "send", map[string]any{"base64": base64.StdEncoding.EncodeToString(data)})
}

// SendCustom sends a custom message as YProvider does.
func (c *NodeClient) SendCustom(ctx context.Context, text string) error {
	return c.call(ctx, nil, "message", map[string]any{"text": text})
}

// Save asks for the sync status (message 102) and returns the number to wait for with AwaitSaved.
func (c *NodeClient) Save(ctx context.Context) (int, error) {
	var n int
	err := c.call(ctx, &n, "save", nil)
	return n, err
}

// Frame is one that was received: text or binary.
type Frame struct {
	Text   string
	Binary []byte // nil for a text
	As     string // of a binary one of a PartySocket: blob or arraybuffer, as the application got it
}

// Frames returns the frames received so far, from the given number on.
func (c *NodeClient) Frames(ctx context.Context, from int) ([]Frame, error) {
	var list []struct {
		Text   string
		Base64 *string
		As     string
	}
	if err := c.call(ctx, &list, "frames", map[string]any{"from": from}); err != nil {
		return nil, err
	}
	frames := make([]Frame, len(list))
	for i, f := range list {
		frames[i].Text, frames[i].As = f.Text, f.As
		if f.Base64 != nil {
			b, err := base64.StdEncoding.DecodeString(*f.Base64)
			if err != nil {
				return nil, err
			}
			frames[i].Binary = append([]byte{}, b...)
		}
	}
	return frames, nil
}

// Destroy ends the client as an application does.
func (c *NodeClient) Destroy(ctx context.Context) error { return c.call(ctx, nil, "destroy", nil) }

func (c *NodeClient) await(ctx context.Context, condition string, want any) error {
	return c.call(ctx, nil, "wait", map[string]any{"condition": condition, "want": want})
}

package ytest

import (
	"context"
	"encoding/base64"
	"net/http"
)

// What a PartySocket may be given to send, or to put into a request, as bytes.
const (
	AsBlob        = "blob"
	AsArrayBuffer = "arraybuffer"
	AsView        = "view" // a Uint8Array in the middle of its buffer
)

// SendAs sends a binary message that the application has as one of the above.
func (c *NodeClient) SendAs(ctx context.Context, as string, data []byte) error {
	return c.call(ctx, nil, "send", map[string]any{"base64": base64.StdEncoding.EncodeToString(data), "as": as})
}

// TrySendText sends a text message and reports whether it went out at once; else it waits for the connection.
func (c *NodeClient) TrySendText(ctx context.Context, text string) (bool, error) {
	var sent bool
	err := c.call(ctx, &sent, "send", map[string]any{"text": text})
	return sent, err
}

// Reconnect has a PartySocket close its socket, with a code and a reason, and connect anew at once.
func (c *NodeClient) Reconnect(ctx context.Context, code int, reason string) error {
	return c.call(ctx, nil, "reconnect", map[string]any{"code": code, "reason": reason})
}

// CloseBare closes the socket below a PartySocket without a code.
func (c *NodeClient) CloseBare(ctx context.Context) error {
	return c.call(ctx, nil, "disconnect", map[string]any{"bare": true})
}

// Request is what PartySocket.fetch is given. Text or Body is the body.
type Request struct {
	Method  string
	Path    string // below the room's URL, without the slash between them
	Headers map[string]string
	Text    string
	Body    []byte
	BodyAs  string // zero means AsArrayBuffer
}

// Response is what it returned.
type Response struct {
	Status  int
	URL     string
	Headers http.Header
	Body    []byte
}

// Fetch calls PartySocket.fetch with the room of the client.
func (c *NodeClient) Fetch(ctx context.Context, r Request) (Response, error) {
	fields := map[string]any{"method": r.Method, "headers": r.Headers}
	if r.Path != "" {
		fields["path"] = r.Path
	}
	switch {
	case r.Text != "":
		fields["text"] = r.Text
	case r.Body != nil:
		fields["base64"] = base64.StdEncoding.EncodeToString(r.Body)
		if r.BodyAs != "" {
			fields["as"] = r.BodyAs
		}
	}
	var answer struct {
		Status  int
		URL     string
		Headers map[string]string
		Body    []byte
	}
	if err := c.call(ctx, &answer, "fetch", fields); err != nil {
		return Response{}, err
	}
	header := make(http.Header, len(answer.Headers))
	for name, value := range answer.Headers {
		header.Set(name, value)
	}
	return Response{Status: answer.Status, URL: answer.URL, Headers: header, Body: answer.Body}, nil
}

package ytest

import "context"

// AwaitConnected waits until the socket is open.
func (c *NodeClient) AwaitConnected(ctx context.Context) error { return c.await(ctx, "connected", nil) }

// AwaitDisconnected waits until it is not.
func (c *NodeClient) AwaitDisconnected(ctx context.Context) error {
	return c.await(ctx, "disconnected", nil)
}

// AwaitSynced waits until the provider is synced: it got a step 2.
func (c *NodeClient) AwaitSynced(ctx context.Context) error { return c.await(ctx, "synced", nil) }

// AwaitSettled waits until the provider is synced and nothing waits in its document.
func (c *NodeClient) AwaitSettled(ctx context.Context) error { return c.await(ctx, "settled", nil) }

// AwaitText waits until the text is as given.
func (c *NodeClient) AwaitText(ctx context.Context, text string) error {
	return c.await(ctx, "text", text)
}

// AwaitTextLength waits until the text has so many UTF-16 units.
func (c *NodeClient) AwaitTextLength(ctx context.Context, n int) error {
	return c.await(ctx, "length", n)
}

// AwaitJSON waits until the map "m" and the array "a", where they are in use, are as given.
func (c *NodeClient) AwaitJSON(ctx context.Context, json map[string]any) error {
	return c.await(ctx, "json", json)
}

// AwaitStateVector waits until the document has the state vector of a ClientView.
func (c *NodeClient) AwaitStateVector(ctx context.Context, sv string) error {
	return c.await(ctx, "stateVector", sv)
}

// AwaitStates waits until the awareness states, of whichever clients, are as given.
func (c *NodeClient) AwaitStates(ctx context.Context, states ...any) error {
	if states == nil {
		states = []any{}
	}
	return c.await(ctx, "states", states)
}

// AwaitAwarenessCount waits until so many clients have an awareness state, the client itself included.
func (c *NodeClient) AwaitAwarenessCount(ctx context.Context, n int) error {
	return c.await(ctx, "awarenessCount", n)
}

// AwaitSaved waits until the sync status with the number that Save returned is answered.
func (c *NodeClient) AwaitSaved(ctx context.Context, n int) error { return c.await(ctx, "saved", n) }

// AwaitEchoed waits until all updates that the client made are back.
func (c *NodeClient) AwaitEchoed(ctx context.Context) error { return c.await(ctx, "echoed", nil) }

// AwaitStopped waits until the provider has given up because of a close code (y-websocket 3.1); zero means any.
func (c *NodeClient) AwaitStopped(ctx context.Context, code int) error {
	return c.await(ctx, "stopped", code)
}

// AwaitCloses waits until so many sockets have been closed.
func (c *NodeClient) AwaitCloses(ctx context.Context, n int) error { return c.await(ctx, "closes", n) }

// AwaitOpens waits until a PartySocket has been connected so many times.
func (c *NodeClient) AwaitOpens(ctx context.Context, n int) error { return c.await(ctx, "opens", n) }

// AwaitSockets waits until so many sockets have been made.
func (c *NodeClient) AwaitSockets(ctx context.Context, n int) error {
	return c.await(ctx, "sockets", n)
}

// AwaitRefused waits until an upgrade was refused with the HTTP status; zero means any.
func (c *NodeClient) AwaitRefused(ctx context.Context, status int) error {
	return c.await(ctx, "refused", status)
}

// AwaitFrames waits until so many frames were received.
func (c *NodeClient) AwaitFrames(ctx context.Context, n int) error { return c.await(ctx, "frames", n) }

// AwaitKind waits until so many binary frames of a kind were received, see FrameCounters.
func (c *NodeClient) AwaitKind(ctx context.Context, kind string, n int) error {
	return c.await(ctx, "kind", map[string]any{"kind": kind, "count": n})
}

// AwaitCustoms waits until so many custom messages were received.
func (c *NodeClient) AwaitCustoms(ctx context.Context, n int) error {
	return c.await(ctx, "customs", n)
}

// AwaitDenied waits until a permission denied message was received.
func (c *NodeClient) AwaitDenied(ctx context.Context) error { return c.await(ctx, "denied", nil) }

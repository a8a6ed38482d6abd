package gate_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/yserverd/yserverd/gate"
)

// A handler asks the gate in this order: CORS, origin, room id, access.
func Example() {
	policy, err := gate.NewOriginPolicy(gate.OriginConfig{PublicURL: "https://docs.example"})
	if err != nil {
		fmt.Println(err)
		return
	}
	open := func(w http.ResponseWriter, r *http.Request) error {
		policy.SetCORS(w.Header(), r)
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		if err := policy.Check(r); err != nil {
			return err
		}
		room, err := gate.RoomID(r.URL.EscapedPath()[1:])
		if err != nil {
			return err
		}
		decision, err := gate.Public(r.Context(), &gate.Request{HTTP: r, Party: "main", Room: room})
		if err != nil {
			return err
		}
		fmt.Printf("room %q, write %v\n", room, decision.Write)
		return nil
	}
	for _, path := range []string{"/team%2Fnotes", "/a%00b", "/secret"} {
		r := httptest.NewRequest(http.MethodPost, path, nil)
		if path == "/secret" {
			r.Header.Set("Origin", "https://evil.example")
		}
		w := httptest.NewRecorder()
		var refusal *gate.Refusal
		if err := open(w, r); errors.As(err, &refusal) {
			refusal.Write(w)
			fmt.Print(w.Code, " ", w.Body.String())
		}
	}
	// Output:
	// room "team/notes", write true
	// 400 {"error":"the room id has a control character","layer":"validation","code":"ROOM_ID_INVALID"}
	// 403 {"error":"the page's origin may not use this server","layer":"access","code":"ORIGIN_REFUSED","hint":"add the page's origin to allowed_origins, or set public_url if this is the server's own page behind a proxy"}
}

// keys is an Authenticator of one header.
type keys map[string]gate.Identity

func (k keys) Authenticate(_ context.Context, c *gate.Caller, _ gate.TicketMode) (gate.Identity, error) {
	return k.Refresh(context.Background(), c.HTTP.Header.Get("X-Api-Key"), gate.TicketsRefused)
}

func (k keys) Refresh(_ context.Context, key string, _ gate.TicketMode) (gate.Identity, error) {
	if id, ok := k[key]; ok || key == "" {
		return id, nil
	}
	return gate.Identity{}, gate.RefuseInvalid()
}

func (k keys) Recheck(_ context.Context, ids []gate.Identity) ([]gate.Checked, error) {
	out := make([]gate.Checked, len(ids))
	for i, id := range ids {
		out[i].Identity = id
	}
	return out, nil
}

// A guard knows callers by an Authenticator, and rooms by an Authorizer: here everybody has a room of its own.
func ExampleNewGuard() {
	own := func(_ context.Context, id gate.Identity, r *gate.Request) (gate.Decision, error) {
		if r.Room != id.UserID {
			return gate.Decision{}, gate.RefuseDenied()
		}
		return gate.Decision{Write: true}, nil
	}
	guard, err := gate.NewGuard(gate.GuardConfig{
		Authenticator: keys{"k1": {UserID: "ada"}},
		Authorizer:    gate.AuthorizerFunc(own),
		Failures:      gate.NewFailureLimit(120),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, try := range []struct{ key, room string }{{"k1", "ada"}, {"k1", "bob"}, {"", "ada"}, {"guess", "ada"}} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("X-Api-Key", try.key)
		d, err := guard.Admit(context.Background(), &gate.Request{HTTP: r, Party: "notes", Room: try.room})
		fmt.Println(d.Identity.UserID, d.Write, err)
	}
	// Output:
	// ada true <nil>
	//  false the caller may not open this room (ACCESS_DENIED)
	//  false a credential is required (AUTH_MISSING)
	//  false the credential is not valid (AUTH_INVALID)
}

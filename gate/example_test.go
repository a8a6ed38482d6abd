package gate_test

import (
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

package yserver_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/yserver"
)

// A server with one party of documents, to be used with y-websocket at /yjs and
// with YProvider as party "notes". A program would use the embedded store
// (package persist/pebble) and http.ListenAndServe.
func Example() {
	srv, err := yserver.New(yserver.Config{Store: persisttest.NewMemory()}, yserver.Party{
		Name:       "notes",
		Access:     gate.Public,
		YWebSocket: "/yjs",
		Document: &yserver.Document{
			OnSave: func(_ context.Context, room *yserver.Room, save yserver.Save) error {
				fmt.Println("save", room.Name(), len(save.State), "bytes")
				return nil
			},
		},
	})
	if err != nil {
		panic(err)
	}
	web := httptest.NewServer(srv)
	defer web.Close()
	resp, err := http.Get(web.URL + "/parties/unknown/room")
	if err != nil {
		panic(err)
	}
	_ = resp.Body.Close()
	fmt.Println(resp.Status)
	fmt.Println(srv.Shutdown(context.Background()))
	// Output:
	// 400 Bad Request
	// <nil>
}

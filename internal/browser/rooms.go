package browser

import (
	"testing"

	"github.com/yserverd/yserverd/internal/ytest"
)

// Rooms are the addresses of the pages of fixtures/rooms. An empty one is not driven.
type Rooms struct {
	Chat, Interview, Lobby string
}

// DriveRooms has two people, at a desk and on a phone, use the example rooms. Anything that goes wrong fails the test,
// with what the driver said; its screenshots are in the artifacts folder, as after [Drive].
func DriveRooms(tb testing.TB, rooms Rooms) Result {
	tb.Helper()
	tools := Require(tb)
	dir := ytest.Fixture(tb, "rooms")
	var args []string
	for flag, url := range map[string]string{"--chat": rooms.Chat, "--interview": rooms.Interview, "--lobby": rooms.Lobby} {
		if url != "" {
			args = append(args, flag, url)
		}
	}
	return drive(tb, tools, dir, artifacts(tb), args, nil)
}

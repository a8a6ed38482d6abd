package yserver_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/yserver"
)

// The index finds what a list of the members would, however many there are and
// whoever leaves first.
func TestMemberIndexIsTheListOfMembers(t *testing.T) {
	indexed, plain := false, false
	rapid.Check(t, func(t *rapid.T) {
		type entry struct {
			id     string
			number int
		}
		var x yserver.TestIndex
		var model []entry
		grows := rapid.IntRange(1, 9).Draw(t, "growth")
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			if len(model) == 0 || rapid.IntRange(0, 9).Draw(t, "action") < grows {
				id := fmt.Sprint(rapid.IntRange(0, 12).Draw(t, "id"))
				model = append(model, entry{id, x.Add(id)})
			} else {
				i := rapid.IntRange(0, len(model)-1).Draw(t, "who")
				x.Remove(model[i].number)
				model = slices.Delete(model, i, i+1)
			}
			for id := range 13 {
				want := 0
				for _, e := range model {
					if e.id == fmt.Sprint(id) {
						want = e.number
					}
				}
				if got := x.Find(fmt.Sprint(id)); got != want {
					t.Fatalf("id %d is number %d, want %d of %v", id, got, want, model)
				}
			}
			indexed, plain = indexed || x.Indexed(), plain || !x.Indexed()
		}
	})
	require.True(t, indexed && plain, "both ways were taken")
}

// Duplicate connection ids (rooms.md, 2.6, and messages.md).
func TestDuplicateConnectionIDs(t *testing.T) {
	byQuery := func(_ context.Context, r *gate.Request) (gate.Decision, error) {
		return gate.Decision{Identity: gate.Identity{UserID: r.HTTP.URL.Query().Get("user")}, Write: true}, nil
	}
	setup := func(t *testing.T, crowd int) (*script, *kit) {
		s := &script{message: func(_ context.Context, c *yserver.Connection, p yserver.Payload) error {
			c.Send(p)
			return nil
		}}
		k := start(t, withScript(s), func(_ *yserver.Config, p *yserver.Party) { p.Access = byQuery })
		for i := range crowd {
			k.dial(fmt.Sprintf("/parties/main/r?_pk=crowd%d", i))
		}
		return s, k
	}
	for name, crowd := range map[string]int{"few": 0, "many": 40} {
		t.Run("both live, the newest is addressed, "+name, func(t *testing.T) {
			s, k := setup(t, crowd)
			room := k.room("r")
			old := k.dial("/parties/main/r?_pk=x&user=u&n=1")
			first := room.Connection("x")
			again := k.dial("/parties/main/r?_pk=x&user=u&n=2")
			second := room.Connection("x")
			require.NotSame(t, first, second)
			require.Contains(t, second.URI(), "n=2")
			require.Len(t, room.Connections("x"), 2)

			room.Broadcast(yserver.Text("both"))
			second.Send(yserver.Text("new"))
			first.Send(yserver.Text("old"))
			require.Equal(t, "both", old.nextText())
			require.Equal(t, "old", old.nextText())
			require.Equal(t, "both", again.nextText())
			require.Equal(t, "new", again.nextText())
			old.sendText("from old")
			require.Equal(t, "from old", old.nextText(), "it still is a connection")
			room.Broadcast(yserver.Text("neither"), "x")

			s.seen()
			require.NoError(t, old.conn.Close()) // the half-open one dies
			require.Equal(t, []string{`OnClose x 1006 "" false`}, s.await(t, 1))
			require.Same(t, second, room.Connection("x"), "the new one stays")
			require.Len(t, room.Connections("x"), 1)
			room.Broadcast(yserver.Text("still here"))
			require.Equal(t, "still here", again.nextText())
			require.NoError(t, again.conn.Close())
			s.await(t, 1)
			require.Nil(t, room.Connection("x"))
		})
	}
	t.Run("the newer leaves first", func(t *testing.T) {
		s, k := setup(t, 40)
		k.dial("/parties/main/r?_pk=x&user=u")
		first := k.room("r").Connection("x")
		again := k.dial("/parties/main/r?_pk=x&user=u")
		s.seen()
		require.NoError(t, again.conn.Close())
		s.await(t, 1)
		require.Same(t, first, k.room("r").Connection("x"))
	})
	t.Run("another identity is refused", func(t *testing.T) {
		s, k := setup(t, 0)
		k.dial("/parties/main/r?_pk=x&user=alice")
		s.seen()
		for _, user := range []string{"bob", ""} {
			_, resp, err := k.tryDial("/parties/main/r?_pk=x&user=" + user)
			require.Error(t, err)
			require.Equal(t, http.StatusConflict, resp.StatusCode)
			body := make([]byte, 1000)
			n, _ := resp.Body.Read(body)
			require.Contains(t, string(body[:n]), `"code":"CONNECTION_ID_TAKEN"`)
		}
		require.Empty(t, s.seen(), "no hook is asked")
		k.dial("/parties/main/r?_pk=x&user=alice")
		k.dial("/parties/main/r?_pk=y&user=bob")
		k.dial("/parties/main/other?_pk=x&user=bob") // another room
	})
	t.Run("an id is free again when its connection has ended", func(t *testing.T) {
		s, k := setup(t, 0)
		a := k.dial("/parties/main/r?_pk=x&user=alice")
		s.seen()
		require.NoError(t, a.conn.Close())
		s.await(t, 1)
		k.dial("/parties/main/r?_pk=x&user=bob")
	})
}

// A sleeping room knows its connections: an id stays taken, and the newest is found.
func TestDuplicateConnectionIDsInASleepingRoom(t *testing.T) {
	s := &script{}
	k := start(t, withScript(s), func(_ *yserver.Config, p *yserver.Party) {
		p.HibernateAfter = 5e6
		p.Access = func(_ context.Context, r *gate.Request) (gate.Decision, error) {
			return gate.Decision{Identity: gate.Identity{UserID: r.HTTP.URL.Query().Get("user")}, Write: true}, nil
		}
	})
	k.dial("/parties/main/r?_pk=x&user=alice&n=1")
	k.dial("/parties/main/r?_pk=x&user=alice&n=2")
	k.asleep("r")
	require.Equal(t, http.StatusConflict, k.refused("/parties/main/r?_pk=x&user=bob"))
	k.asleep("r")
	require.Contains(t, k.room("r").Connection("x").URI(), "n=2")
}

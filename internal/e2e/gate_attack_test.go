package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/internal/servertest"
)

// with returns headers together.
func with(headers ...[]string) (all []string) {
	for _, h := range headers {
		all = append(all, h...)
	}
	return all
}

// TestGateIsAttacked tries what a caller who may open one room could try to open another one, on the real program and a
// real database.
func TestGateIsAttacked(t *testing.T) {
	t.Parallel()
	app := sharedGateApp(t, "YSERVERD_LIMITS_AUTH_FAILURES_PER_MINUTE=100000")
	conn := app.dial("/parties/notes/roadmap", bearer(t, "grace")...)
	require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, typedHi))
	expectFrame(t, conn, typedHi)
	for name, attack := range map[string]func(*testing.T, *gateApp){
		"rooms of others":                                    attackRooms,
		"other spellings of an id":                           attackSpellings,
		"ids that are long":                                  attackLongIDs,
		"headers that only routers and proxies set":          attackHeaders,
		"pages of other origins":                             attackOrigins,
		"a credential that fails beside a cookie that holds": attackBesideCookies,
		"a ticket is no token, and a token no ticket":        attackTickets,
		"the connection id of another":                       attackConnectionID,
	} {
		t.Run(name, func(t *testing.T) { attack(t, app) })
	}
	require.Equal(t, answerHi, app.content("/parties/notes/roadmap", bearer(t, "alan")...))
	require.NotContains(t, app.Log(), "panic")
}

// attackRooms asks for rooms of others, and for those that are open.
func attackRooms(t *testing.T, app *gateApp) {
	grace, alan, radia := bearer(t, "grace"), bearer(t, "alan"), bearer(t, "radia")
	for _, row := range []struct {
		who    []string
		target string
		want   int // 0: it opens
	}{
		{grace, "/parties/notes/roadmap", 0},
		{alan, "/parties/notes/roadmap", 0},
		{cookie("alan"), "/notes/roadmap", 0},
		{grace, "/parties/notes/a%2Fb", 0},
		{grace, "/notes/a/b", 0},
		{alan, "/events/eclipse", 0},
		{alan, "/scratchpad/alan", 0},
		{grace, "/parties/comments/note:roadmap", 0},
		{nil, "/parties/lounge/x", 0},
		{grace, "/parties/shared-notes/0f0e0d0c-0b0a-4908-8706-050403020100", 0},

		{radia, "/parties/notes/roadmap", 403},
		{radia, "/notes/roadmap", 403},
		{grace, "/notes/harbor-plan", 403},
		{grace, "/notes/attic", 403},
		{grace, "/events/eclipse", 403},
		{grace, "/parties/events/eclipse", 403},
		{alan, "/scratchpad/grace", 403},
		{alan, "/scratchpad/north", 403},
		{radia, "/parties/chats/tea", 403},
		{radia, "/parties/comments/note:roadmap", 403},
		{radia, "/parties/comments/event:eclipse", 403},
		{grace, "/parties/comments/roadmap", 400},
		{grace, "/parties/comments/note:road%0Amap", 400},
		{radia, "/parties/shared-notes/0f0e0d0c-0b0a-4908-8706-050403020100", 403},
		{nil, "/parties/notes/roadmap", 401},
		{nil, "/notes/roadmap", 401},
		{nil, "/parties/notes/no-such", 401},
	} {
		got := app.upgrade(row.target, row.who...)
		if row.want == 0 {
			require.True(t, got.opens(), "%s: %+v", row.target, got)
			continue
		}
		require.Equal(t, row.want, got.refusal(), "%s: %+v", row.target, got)
	}
}

// attackSpellings asks for a room under names that could be taken for its own.
func attackSpellings(t *testing.T, app *gateApp) {
	grace, alan, radia := bearer(t, "grace"), bearer(t, "alan"), bearer(t, "radia")
	for _, id := range []string{
		"roadmap%20", "%20roadmap", "roadmap%09", "Roadmap", "ROADMAP", "%2572oadmap", "roadmap%2500", "roadmap%00", "roadmap%0A",
		"roadmap%2F", "%2Froadmap", ".%2Froadmap", "x%2F..%2Froadmap", "..%2Fnotes%2Froadmap", "a%252Fb", "a%5Cb",
		"r%D0%BEadmap", "%EF%BD%92oadmap", "roadmap%E2%80%8B", "roa%CC%81dmap", "%E2%80%AEpamdaor", "roadmap%C0%80", "roadmap%FF",
		"%C1%B2oadmap", "roadmap'%20OR%20'1'='1", "roadmap';--", "%25", "roadmap%", "roadmap%zz", "road%EF%BB%BFmap", "roadmap;x", "roadmap%3Fx",
	} {
		for _, mount := range []string{"/parties/notes/", "/notes/"} {
			for _, who := range [][]string{grace, radia} {
				got := app.upgrade(mount+id, who...)
				require.False(t, got.opens(), "%s%s: %+v", mount, id, got)
				require.Contains(t, []int{400, 403, 404}, got.refusal(), "%s%s: %+v", mount, id, got)
			}
		}
	}
	for _, id := range []string{"0F0E0D0C-0B0A-4908-8706-050403020100", "%7B0f0e0d0c-0b0a-4908-8706-050403020100%7D", "0f0e0d0c0b0a49088706050403020100"} {
		require.Equal(t, 403, app.upgrade("/parties/shared-notes/"+id, grace...).refusal(), "%s names the same row, and is not its room", id)
	}
	for _, target := range []string{"/parties/notes/%72oadmap", "/notes/%72oad%6Dap"} { // decoded once it is the room
		require.Equal(t, answerHi, app.content(target, alan...), target)
		require.Equal(t, 403, app.upgrade(target, radia...).refusal(), target)
	}
	for _, target := range []string{"/parties/notes/../notes/roadmap", "/notes/../notes/roadmap", "/notes//roadmap", "/notes/./roadmap"} {
		require.False(t, app.upgrade(target, grace...).opens(), target)
		require.False(t, app.upgrade(target, radia...).opens(), target)
	}
	for _, target := range []string{"/parties//notes/roadmap", "//notes/roadmap"} { // empty segments in front are left out, as PartyServer does
		require.Equal(t, 403, app.upgrade(target, radia...).refusal(), target)
		require.Equal(t, answerHi, app.content(target, grace...), target)
	}
}

// attackLongIDs asks for rooms whose names are too long.
func attackLongIDs(t *testing.T, app *gateApp) {
	grace := bearer(t, "grace")
	for bytes, want := range map[int]int{1024: 403, 1025: 400, 16 << 10: 400} {
		require.Equal(t, want, app.upgrade("/parties/notes/"+strings.Repeat("x", bytes), grace...).refusal(), bytes)
	}
	got := app.upgrade("/parties/notes/"+strings.Repeat("x", 1<<20), grace...)
	require.Contains(t, []int{http.StatusRequestHeaderFieldsTooLarge, http.StatusRequestURITooLong, http.StatusBadRequest}, got.Status)
	require.Equal(t, 403, app.upgrade("/parties/comments/note:"+strings.Repeat("x", 900), grace...).refusal())
}

// attackHeaders smuggles what routers and proxies say.
func attackHeaders(t *testing.T, app *gateApp) {
	radia := bearer(t, "radia")
	smuggled := []string{
		"X-Partykit-Room", "roadmap", "X-Partykit-Namespace", "notes", "x-partykit-props", `{"user":"grace"}`, "X-Forwarded-User", "grace",
		"X-Forwarded-Uri", "/parties/notes/roadmap", "X-Original-Url", "/parties/notes/roadmap", "X-Rewrite-Url", "/parties/notes/roadmap",
	}
	require.Equal(t, 401, app.upgrade("/parties/notes/roadmap", smuggled...).refusal())
	require.Equal(t, 403, app.upgrade("/parties/notes/roadmap", with(radia, smuggled)...).refusal())
	require.Equal(t, answerNo, app.content("/parties/notes/harbor-plan", with(radia, smuggled)...), "the path says the room")
	evil := []string{"Origin", "https://evil.example"}
	for _, forwarded := range [][]string{
		{"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https"}, {"Forwarded", "host=evil.example;proto=https"}, {"X-Forwarded-Origin", pageOrigin},
	} {
		require.Equal(t, 403, app.upgrade("/parties/notes/roadmap", with(cookie("grace"), evil, forwarded)...).refusal())
	}
}

// attackOrigins uses the cookie of a person from other pages.
func attackOrigins(t *testing.T, app *gateApp) {
	require.True(t, app.upgrade("/notes/roadmap", with(cookie("grace"), []string{"Origin", pageOrigin})...).opens())
	for _, origin := range []string{
		"https://evil.example", "null", pageOrigin + ".evil.example", "http://127.0.0.1:30000", "https://127.0.0.1:3000", "http://localhost:3000", "http://user@127.0.0.1:3000",
	} {
		for _, target := range []string{"/parties/notes/roadmap", "/notes/roadmap"} {
			got := app.upgrade(target, with(cookie("grace"), []string{"Origin", origin})...)
			require.Equal(t, 403, got.refusal(), "%s: %+v", origin, got)
			require.Contains(t, got.Text, "origin", origin)
		}
	}
}

// attackBesideCookies has a cookie that holds beside a credential that does not.
func attackBesideCookies(t *testing.T, app *gateApp) {
	grace := bearer(t, "grace")
	for _, header := range [][]string{
		{"Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJncmFjZSJ9."},
		{"Authorization", "Bearer " + gateJWT(t, "alan", "north", "member", -time.Hour)},
		{"Authorization", "Bearer nothing"},
		{"X-Api-Key", "nothing"},
		{"Authorization", "Basic Z3JhY2U6Z3JhY2U="},
	} {
		require.Equal(t, 401, app.upgrade("/parties/notes/roadmap", with(cookie("grace"), header)...).refusal(), header)
	}
	for _, query := range []string{"?api_key=nothing", "?key=nothing"} {
		require.Equal(t, 401, app.upgrade("/notes/roadmap"+query, cookie("grace")...).refusal(), query)
	}
	require.Equal(t, 400, app.upgrade("/parties/notes/roadmap?api_key=x", grace...).refusal())
	require.Equal(t, 401, app.upgrade("/parties/chats/tea?ws_ticket=nothing", cookie("grace")...).refusal())
}

// attackTickets shows tickets as tokens, and tokens as tickets.
func attackTickets(t *testing.T, app *gateApp) {
	ticket, token := gateTicket(t, "grace"), gateJWT(t, "grace", "north", "editor", time.Hour)
	require.True(t, app.upgrade("/parties/chats/tea?ws_ticket="+ticket).opens())
	require.Equal(t, 401, app.upgrade("/parties/chats/tea?ws_ticket="+token).refusal())
	require.Equal(t, 401, app.upgrade("/parties/chats/tea", "Authorization", "Bearer "+ticket).refusal())
	require.Equal(t, 401, app.upgrade("/parties/notes/roadmap?ws_ticket="+ticket).refusal(), "the room takes no tickets")
	require.Equal(t, 403, app.upgrade("/parties/chats/tea?ws_ticket="+gateTicket(t, "grace", "chats/coffee")).refusal())
}

// attackConnectionID takes the place of a connection.
func attackConnectionID(t *testing.T, app *gateApp) {
	grace, alan := bearer(t, "grace"), bearer(t, "alan")
	first := app.dial("/parties/notes/roadmap?_pk=taken", grace...)
	require.False(t, app.upgrade("/parties/notes/roadmap?_pk=taken", alan...).opens())
	require.NoError(t, first.WriteMessage(websocket.BinaryMessage, askAll))
	expectFrame(t, first, answerHi) // she is still there
	again := app.dial("/parties/notes/roadmap?_pk=taken", grace...)
	require.NoError(t, again.WriteMessage(websocket.BinaryMessage, askAll))
	expectFrame(t, again, answerHi)
}

// TestRebindingIsAttacked: a page whose name points to this machine reaches nothing of the development server.
func TestRebindingIsAttacked(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, servertest.Options{})
	require.NoError(t, s.Start())
	_, port, err := net.SplitHostPort(s.Address)
	require.NoError(t, err)
	for _, target := range []string{"/room", "/parties/main/room", "/parties/lobby/room"} {
		for _, host := range []string{"evil.example:" + port, "evil.example", "127.0.0.1.evil.example:" + port, "localhost.evil.example", "0.0.0.0:" + port, "2130706433:" + port} {
			for _, origin := range []string{"http://" + host, "http://" + s.Address, ""} {
				header := []string{"Host", host}
				if origin != "" {
					header = append(header, "Origin", origin)
				}
				got := askUpgrade(t, s.Address, target, header...)
				require.Equal(t, 403, got.refusal(), "%s %s %s: %+v", target, host, origin, got)
			}
		}
		require.True(t, askUpgrade(t, s.Address, target, "Host", "localhost:"+port, "Origin", "http://localhost:"+port).opens())
	}
}

// TestGateIsGuessedAt: thousands of bad logins of one address are answered with 429 once there were too many, whatever
// they say of the address that they come from, and a good one passes in between.
func TestGateIsGuessedAt(t *testing.T) {
	t.Parallel()
	app := sharedGateApp(t)
	const guesses, limit = 3000, 120
	var tried, wrong, limited atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			transport := &http.Transport{MaxIdleConnsPerHost: 1}
			client := &http.Client{Transport: transport, Timeout: gatePatience}
			defer transport.CloseIdleConnections()
			for n := tried.Add(1); n <= guesses; n = tried.Add(1) {
				r, err := http.NewRequest(http.MethodGet, app.URL()+"/parties/notes/roadmap", nil)
				if err != nil {
					t.Error(err)
					return
				}
				guess := fmt.Sprint("guess", n)
				switch n % 3 {
				case 0:
					r.Header.Set("Authorization", "Bearer "+guess)
				case 1:
					r.Header.Set("X-Api-Key", guess)
				default:
					r.Header.Set("Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJncmFjZSJ9."+guess)
				}
				r.Header.Set("X-Forwarded-For", "10.0."+time.Duration(n % 200).String()[:1]+".7")
				resp, err := client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				switch resp.StatusCode {
				case http.StatusUnauthorized:
					wrong.Add(1)
				case http.StatusTooManyRequests:
					limited.Add(1)
				default:
					t.Errorf("a guess is answered with %d", resp.StatusCode)
				}
			}
		})
	}
	good := bearer(t, "grace")
	for tried.Load() < guesses {
		require.True(t, app.upgrade("/parties/notes/roadmap", good...).opens(), "a good credential of the same address")
		require.True(t, app.upgrade("/notes/roadmap", cookie("alan")...).opens())
	}
	wg.Wait()
	require.EqualValues(t, guesses, wrong.Load()+limited.Load())
	require.GreaterOrEqual(t, wrong.Load(), int64(limit))
	require.Less(t, wrong.Load(), int64(guesses/4), "they were not slowed down")
	t.Logf("%d guesses: %d wrong, %d too many", guesses, wrong.Load(), limited.Load())
	got := app.upgrade("/parties/notes/roadmap", "X-Api-Key", "one more")
	require.Equal(t, http.StatusTooManyRequests, got.Status)
	require.Contains(t, got.Text, gate.CodeRateLimited)
	require.Equal(t, http.StatusUnauthorized, app.upgrade("/parties/notes/roadmap").Status, "who brings nothing guesses nothing")
}

// TestGateIsTrickled: hundreds of clients who never finish their headers, some of whom go on a byte at a time, keep
// nobody out, and lose their connections.
func TestGateIsTrickled(t *testing.T) {
	t.Parallel()
	app := sharedGateApp(t, "YSERVERD_LIMITS_UNAUTHENTICATED_TIMEOUT=1s")
	const slow = 300
	var ended sync.WaitGroup
	for i := range slow {
		conn, err := net.Dial("tcp", app.Address)
		require.NoError(t, err)
		_, err = conn.Write([]byte("GET /parties/notes/roadmap HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nX-Slow: "))
		require.NoError(t, err)
		ended.Go(func() {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(gatePatience))
			if i%2 == 0 {
				for {
					if _, err := conn.Write([]byte("y")); err != nil {
						break
					}
					time.Sleep(100 * time.Millisecond) // its pace is what is tested
				}
			}
			if _, err := conn.Read(make([]byte, 1<<10)); err != nil && isTimeout(err) {
				t.Error("a connection without a request stays")
			}
		})
	}
	conn := app.dial("/parties/notes/roadmap", bearer(t, "grace")...)
	require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, typedHi))
	expectFrame(t, conn, typedHi)
	ended.Wait()
	require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, askAll))
	expectFrame(t, conn, answerHi)
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

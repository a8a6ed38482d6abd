package yserver_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/ydoc"
	"github.com/yserverd/yserverd/yserver"
)

const webhookSecret = "a secret of at least thirty-two bytes"

// delivered is one request of a webhook.
type delivered struct {
	Event, Party, Room, SHA256, Content string
	Epoch, Seq                          uint64
	Bytes                               int

	delivery string
}

// endpoint is the other end of a webhook. It answers with its status, 200 unless
// a test says otherwise, and passes on what is signed.
type endpoint struct {
	*httptest.Server
	status atomic.Int64
	tries  atomic.Int64
	got    chan delivered
}

func newEndpoint(t *testing.T) *endpoint {
	e := &endpoint{got: make(chan delivered, 64)}
	e.status.Store(http.StatusOK)
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !signed(r.Header.Get(yserver.SignatureHeader), body) {
			t.Errorf("%s %s: not signed", r.Method, r.URL)
			return
		}
		var d delivered
		if err := json.Unmarshal(body, &d); err != nil {
			t.Errorf("body: %v", err)
			return
		}
		d.delivery = r.Header.Get(yserver.DeliveryHeader)
		status := int(e.status.Load())
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
		e.tries.Add(1)
		if status < 300 {
			e.got <- d
		}
	}))
	t.Cleanup(e.Close)
	return e
}

func signed(header string, body []byte) bool {
	stamp, sum, ok := strings.Cut(strings.TrimPrefix(header, "t="), ",v1=")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if !ok || err != nil || time.Since(time.Unix(seconds, 0)) > time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	mac.Write([]byte(stamp + "." + string(body)))
	return hex.EncodeToString(mac.Sum(nil)) == sum
}

// withWebhook tells the endpoint of the party's documents at once.
func withWebhook(e *endpoint, opts ...func(*yserver.Webhook)) func(*serverConfig, *serverParty) {
	hook := yserver.Webhook{URL: e.URL, Secret: webhookSecret, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, opt := range opts {
		opt(&hook)
	}
	return withDocument(yserver.Document{Webhook: &hook, CallbackOptions: yserver.CallbackOptions{DebounceWait: time.Millisecond}})
}

func (e *endpoint) failedOnce() bool { return e.tries.Load() > 0 }

// delivery is what the store has in its outbox for room r.
func delivery(t *testing.T, store *persisttest.Memory) time.Time {
	at, err := store.Delivery(t.Context(), persist.Key{Party: "main", Room: "r"})
	require.NoError(t, err)
	return at
}

func TestWebhookIsSignedAndCarriesTheState(t *testing.T) {
	e, store := newEndpoint(t), persisttest.NewMemory()
	k := start(t, withStore(store), withWebhook(e))
	a, _ := k.join("/parties/main/r")
	a.update(typed(1, 0, "hello"))
	d := receive(t, e.got)
	require.Equal(t, []string{"save", "main", "r"}, []string{d.Event, d.Party, d.Room})
	require.EqualValues(t, 1, d.Seq)
	require.NotEmpty(t, d.delivery)
	state, err := base64.StdEncoding.DecodeString(d.Content)
	require.NoError(t, err)
	sum := sha256.Sum256(state)
	require.Equal(t, hex.EncodeToString(sum[:]), d.SHA256)
	require.Len(t, state, d.Bytes)
	doc := ydoc.New(ydoc.Config{})
	_, err = doc.Apply(state)
	require.NoError(t, err)
	holds(t, doc, 1, 5)
	eventually(t, "the outbox is empty", func() bool { return delivery(t, store).IsZero() })
}

func TestWebhookLeavesOutWhatIsTooLarge(t *testing.T) {
	e := newEndpoint(t)
	k := start(t, withWebhook(e, func(w *yserver.Webhook) { w.MaxBody = 4 }))
	a, _ := k.join("/parties/main/r")
	a.update(typed(1, 0, "hello"))
	d := receive(t, e.got)
	require.Empty(t, d.Content)
	require.Positive(t, d.Bytes)
}

// TestWebhookThatFailsIsRetried also when it fails by redirecting, which would
// send what is signed to somebody else.
func TestWebhookThatFailsIsRetried(t *testing.T) {
	for _, status := range []int{http.StatusInternalServerError, http.StatusFound} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			e, store := newEndpoint(t), persisttest.NewMemory()
			e.status.Store(int64(status))
			k := start(t, withStore(store), withWebhook(e))
			a, _ := k.join("/parties/main/r")
			a.update(typed(1, 0, "hello"))
			a.frame(protocol.SyncUpdate)
			eventually(t, "a try", e.failedOnce)
			require.False(t, delivery(t, store).IsZero(), "it is in the outbox")
			a.update(typed(1, 5, "!"))
			a.frame(protocol.SyncUpdate)
			e.status.Store(http.StatusOK)
			require.EqualValues(t, 2, receive(t, e.got).Seq, "the newer state takes its place")
		})
	}
}

func TestWebhookSurvivesTheServer(t *testing.T) {
	e, store := newEndpoint(t), persisttest.NewMemory()
	e.status.Store(http.StatusBadGateway)
	first := start(t, withStore(store), withWebhook(e))
	a, _ := first.join("/parties/main/r")
	a.update(typed(1, 0, "hello"))
	a.frame(protocol.SyncUpdate)
	first.Stop() // which does not wait for an endpoint that fails
	require.Positive(t, e.tries.Load())
	at := delivery(t, store)
	require.False(t, at.IsZero())
	past := time.Now().Add(-time.Minute)
	require.NoError(t, store.ChangeRooms(t.Context(), []persist.RoomChange{{Key: persist.Key{Party: "main", Room: "r"}, Delivery: &past}}))
	e.status.Store(http.StatusOK)
	start(t, withStore(store), withWebhook(e))
	d := receive(t, e.got) // nobody has opened the room
	require.EqualValues(t, 1, d.Seq)
	eventually(t, "the outbox is empty", func() bool { return delivery(t, store).IsZero() })
}

func TestWebhookThatFailsKeepsNoRoomInMemory(t *testing.T) {
	e := newEndpoint(t)
	e.status.Store(http.StatusServiceUnavailable)
	k := start(t, withWebhook(e), func(_ *serverConfig, p *serverParty) { p.UnloadAfter = time.Millisecond })
	a, _ := k.join("/parties/main/r")
	a.update(typed(1, 0, "hello"))
	a.frame(protocol.SyncUpdate)
	require.NoError(t, a.conn.Close())
	eventually(t, "the room is gone", func() bool { return k.Srv.Stats().Rooms == 0 })
	require.Positive(t, e.tries.Load())
}

func TestDeliveryOfAPartyWithoutWebhookIsDropped(t *testing.T) {
	store, past := persisttest.NewMemory(), time.Now().Add(-time.Minute)
	require.NoError(t, store.ChangeRooms(t.Context(), []persist.RoomChange{{Key: persist.Key{Party: "gone", Room: "r"}, Delivery: &past}}))
	start(t, withStore(store), withWebhook(newEndpoint(t)))
	eventually(t, "the outbox is empty", func() bool {
		due, err := store.Deliveries(t.Context(), time.Time{}, 0)
		return err == nil && len(due) == 0
	})
}

func TestWebhookIsChecked(t *testing.T) {
	for name, hook := range map[string]yserver.Webhook{
		"no url":       {Secret: webhookSecret},
		"no scheme":    {URL: "example.test/x", Secret: webhookSecret},
		"short secret": {URL: "https://example.test", Secret: "short"},
		"event":        {URL: "https://example.test", Secret: webhookSecret, Events: []yserver.WebhookEvent{"typo"}},
	} {
		party := serverParty{Name: "main", Access: gate.Public, Document: &yserver.Document{Webhook: &hook}}
		_, err := yserver.New(serverConfig{Store: persisttest.NewMemory()}, party)
		require.ErrorContains(t, err, "webhook", name)
	}
}

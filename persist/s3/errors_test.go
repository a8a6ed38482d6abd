package s3_test

import (
	"context"
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/s3test"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
	"github.com/yserverd/yserverd/persist/s3"
)

// askAll asks a bucket everything at once, and returns how each call failed.
func askAll(ctx context.Context, b object.Bucket) map[string]error {
	errs := make(map[string]error)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for op, call := range map[string]func() error{
		"put":    func() error { return b.Put(ctx, "new", []byte("x")) },
		"get":    func() error { _, err := b.Get(ctx, "a", most); return err },
		"delete": func() error { return b.Delete(ctx, []string{"a"}) },
		"list":   func() error { _, err := b.List(ctx, "", "", 0); return err },
		"check":  func() error { return b.Check(ctx) },
	} {
		wg.Go(func() {
			err := call()
			mu.Lock()
			defer mu.Unlock()
			errs[op] = err
		})
	}
	wg.Wait()
	return errs
}

// requireUnavailable requires that every call fails for a reason, without telling keys.
func requireUnavailable(t *testing.T, o s3.Options, reason string) {
	t.Helper()
	for op, err := range askAll(t.Context(), open(t, o)) {
		require.ErrorIs(t, err, persist.ErrUnavailable, op)
		require.NotErrorIs(t, err, persist.ErrNotFound, op)
		require.ErrorContains(t, err, reason, op)
		require.ErrorContains(t, err, o.Endpoint, op)
		for _, key := range []string{s3test.AccessKey, s3test.SecretKey, "another-secret"} {
			require.NotContains(t, err.Error(), key, op)
		}
	}
}

// TestErrorsSayWhatToDo: a real server refuses.
func TestErrorsSayWhatToDo(t *testing.T) {
	good := options(t)
	require.NoError(t, open(t, good).Put(t.Context(), "a", []byte("text")))
	for reason, change := range map[string]func(*s3.Options){
		"no such bucket":     func(o *s3.Options) { o.Bucket = "never-made" },
		"s3.secret_key":      func(o *s3.Options) { o.SecretKey = "another-secret" },
		"correct s3.access":  func(o *s3.Options) { o.AccessKey = "another-access" },
		"s3.region":          func(o *s3.Options) { o.Region = "eu-north-1" },
		"connection refused": func(o *s3.Options) { o.Endpoint = unused(t) },
	} {
		o := good
		change(&o)
		requireUnavailable(t, o, reason)
	}
	data, err := open(t, good).Get(t.Context(), "a", most)
	require.NoError(t, err)
	require.Equal(t, "text", string(data))
}

// unused is an address on which nobody listens.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func TestReadOnlyServerIsDenied(t *testing.T) {
	server := s3test.New(t, "--readonly")
	require.NoError(t, os.Mkdir(server.Path("bucket"), 0o700))
	o := optionsOf(server, "bucket")
	require.ErrorContains(t, open(t, o).Check(t.Context()), "access denied: the account of s3.access_key")
}

// fake is a server that answers as a test says, and keeps nothing.
func fake(t *testing.T, answer http.HandlerFunc) s3.Options {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	require.NoError(t, err)
	return s3.Options{
		Endpoint: address.Host, Bucket: "bucket", AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey, PathStyle: true,
		Timeout: 2 * time.Second,
	}
}

// TestAnswersOfOthers: what answers is no S3 server, or one with another idea of what is wrong.
func TestAnswersOfOthers(t *testing.T) {
	xmlError := func(code string) string {
		return `<?xml version="1.0"?><Error><Code>` + code + `</Code><Message>some text</Message><Region>eu-west-7</Region></Error>`
	}
	for reason, row := range map[string]struct {
		status int
		body   string
	}{
		"status 500":               {500, "<html>" + strings.Repeat("oh no\n", 1000)},
		"status 503":               {503, xmlError("SlowDown")},
		"status 418":               {418, "tea"},
		"status 405":               {405, xmlError("MethodNotAllowed")},
		"s3.region (the server sa": {301, xmlError("PermanentRedirect")},
		"says \"eu-west-7\"":       {400, xmlError("AuthorizationHeaderMalformed")},
		"is not \"us-east-1\"":     {307, ""},
		"access denied: the acco":  {403, ""},
		"clock":                    {403, xmlError("RequestTimeTooSkewed")},
		"conditional puts (If-Non": {501, xmlError("NotImplemented")},
		"token":                    {400, xmlError("ExpiredToken")},
		"there is no such bucket":  {404, xmlError("NoSuchBucket")},
	} {
		o := fake(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(row.status)
			_, _ = io.WriteString(w, row.body) // the client may have gone
		})
		err := open(t, o).Put(t.Context(), "a", []byte("x"))
		require.ErrorIs(t, err, persist.ErrUnavailable, reason)
		require.ErrorContains(t, err, reason)
		require.Less(t, len(err.Error()), 500)
		require.NotContains(t, err.Error(), "\n")
	}
}

// TestNotFoundIsAskedTwice: a page that is not found does not take documents out of service.
func TestNotFoundIsAskedTwice(t *testing.T) {
	o := fake(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such page", http.StatusNotFound) })
	_, err := open(t, o).Get(t.Context(), "a", most)
	require.ErrorIs(t, err, persist.ErrUnavailable)
	require.NotErrorIs(t, err, persist.ErrNotFound)

	const listing = `<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>`
	o = fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("list-type") == "" {
			http.Error(w, "no such page", http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, listing) // the client may have gone
	})
	_, err = open(t, o).Get(t.Context(), "a", most)
	require.ErrorIs(t, err, persist.ErrUnavailable)
	require.ErrorContains(t, err, "lists it")
	_, err = open(t, o).Get(t.Context(), "b", most)
	require.ErrorIs(t, err, persist.ErrNotFound)
}

// overwriter is a server that does not know conditional puts.
type overwriter struct {
	mu      sync.Mutex
	objects map[string][]byte
}

func (o *overwriter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	name := strings.TrimPrefix(r.URL.Path, "/bucket/")
	switch r.Method {
	case http.MethodPut:
		o.objects[name], _ = io.ReadAll(r.Body) // what has come counts
	case http.MethodDelete:
		delete(o.objects, name)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet:
		data, ok := o.objects[name]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			_ = xml.NewEncoder(w).Encode(struct { // the client may have gone
				XMLName xml.Name `xml:"Error"`
				Code    string
			}{Code: "NoSuchKey"})
			return
		}
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		_, _ = w.Write(data)
	}
}

func TestCheckSeesThroughOverwriters(t *testing.T) {
	server := &overwriter{objects: make(map[string][]byte)}
	o := fake(t, server.ServeHTTP)
	err := open(t, o).Check(t.Context())
	require.ErrorIs(t, err, s3.ErrUnconditional)
	require.NotErrorIs(t, err, persist.ErrUnavailable, "waiting does not help")
	require.ErrorContains(t, err, o.Endpoint)
	require.Empty(t, server.objects, "nothing is left behind")
}

// TestCheckSeesWhatIsNotListed: what cannot be listed cannot be swept.
func TestCheckSeesWhatIsNotListed(t *testing.T) {
	server := &overwriter{objects: make(map[string][]byte)}
	o := fake(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Query().Get("list-type") != "":
			_, _ = io.WriteString(w, `<ListBucketResult></ListBucketResult>`) // the client may have gone
		case r.Method == http.MethodPut && len(server.objects) > 0:
			w.WriteHeader(http.StatusPreconditionFailed)
		default:
			server.ServeHTTP(w, r)
		}
	})
	require.ErrorContains(t, open(t, o).Check(t.Context()), "does not list")
	require.Empty(t, server.objects, "nothing is left behind")
}

// TestAnswerWithoutLength: a body of unknown length could end anywhere.
func TestAnswerWithoutLength(t *testing.T) {
	o := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		_, _ = io.WriteString(w, "part") // the client may have gone
		w.(http.Flusher).Flush()
	})
	_, err := open(t, o).Get(t.Context(), "a", most)
	require.ErrorIs(t, err, persist.ErrUnavailable)
}

// TestPutIsTriedAgain: what may pass is waited for, and every try sends all of it.
func TestPutIsTriedAgain(t *testing.T) {
	for status, tries := range map[int]int{503: 3, 500: 3, 409: 3, 403: 1, 501: 1} {
		data := noise(1 << 20)
		var mu sync.Mutex
		var sizes []int
		o := fake(t, func(w http.ResponseWriter, r *http.Request) {
			got, _ := io.ReadAll(r.Body) // what has come counts
			mu.Lock()
			defer mu.Unlock()
			if r.Method == http.MethodPut {
				sizes = append(sizes, len(got))
			}
			w.WriteHeader(status)
			if status == 409 {
				_, _ = io.WriteString(w, "<Error><Code>ConditionalRequestConflict</Code></Error>") // the client may have gone
			}
		})
		err := open(t, o).Put(t.Context(), "a", data)
		require.ErrorIs(t, err, persist.ErrUnavailable)
		require.Equal(t, slices.Repeat([]int{len(data)}, tries), sizes, "status %d", status)
	}
}

// TestBodyEnds: who still reads when the put has ended gets nothing of what is the caller's again, and cannot go back.
func TestBodyEnds(t *testing.T) {
	r, end := s3.NewBody([]byte("text"))
	part := make([]byte, 2)
	n, err := r.Read(part)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	end()
	n, err = r.Read(part)
	require.Zero(t, n)
	require.Error(t, err)
	require.NotErrorIs(t, err, io.EOF, "it is not all that there was")
	_, rewinds := r.(io.Seeker)
	require.False(t, rewinds)
}

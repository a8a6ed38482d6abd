package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sync/errgroup"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

const (
	tries           = 3 // of a request, within its time
	idleConnections = 16
	idleTime        = time.Minute
	credentialsTime = 10 * time.Second
	deletesAtATime  = 8
	contentType     = "application/zstd"
)

// Bucket is a bucket, or the part of one below a prefix. Its methods may be called from any goroutine.
type Bucket struct {
	opts      Options
	core      *minio.Core
	transport *http.Transport
}

var _ object.Bucket = (*Bucket)(nil)

// Open returns a bucket. It asks the server nothing, so that a process can start without it: see Check.
func Open(o Options) (*Bucket, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           o.dial,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		TLSHandshakeTimeout:   o.Timeout,
		ResponseHeaderTimeout: o.Timeout / 2, // a connection that died in the pool leaves time for another
		MaxIdleConnsPerHost:   idleConnections,
		IdleConnTimeout:       idleTime,
		DisableCompression:    true, // what is stored is what is read
	}
	lookup := minio.BucketLookupDNS
	if o.PathStyle {
		lookup = minio.BucketLookupPath
	}
	core, err := minio.NewCore(o.Endpoint, &minio.Options{
		Creds: o.credentials(), Secure: o.TLS, Transport: puts{transport}, Region: o.Region, BucketLookup: lookup, MaxRetries: tries,
	})
	if err != nil {
		return nil, fmt.Errorf("s3.endpoint: %w", err)
	}
	return &Bucket{opts: o, core: core, transport: transport}, nil
}

// credentials are the keys, or who to ask for them.
func (o Options) credentials() *credentials.Credentials {
	if o.AccessKey != "" {
		return credentials.NewStaticV4(o.AccessKey, o.SecretKey, "")
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{},
		&credentials.IAM{Client: &http.Client{Timeout: credentialsTime}, Region: o.Region},
	})
}

// puts gives each put a connection of its own: a server that refuses one without having read it may take the rest of it
// for the next request.
type puts struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (p puts) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPut {
		r = r.Clone(r.Context())
		r.Close = true
	}
	return p.next.RoundTrip(r)
}

// Close drops idle connections. Requests in flight are not disturbed, and later ones are answered.
func (b *Bucket) Close() { b.transport.CloseIdleConnections() }

// String says where the bucket is, for people.
func (b *Bucket) String() string {
	scheme := "http"
	if b.opts.TLS {
		scheme = "https"
	}
	return fmt.Sprintf("%s://%s/%s/%s", scheme, b.opts.Endpoint, b.opts.Bucket, b.opts.Prefix)
}

// Put implements object.Bucket.
func (b *Bucket) Put(ctx context.Context, name string, stored []byte) error {
	if err := object.ValidateName(name); err != nil {
		return err
	}
	limited, stop := b.limit(ctx, 2*int64(len(stored))) // there, and perhaps back
	defer stop()
	err := b.putNew(limited, name, stored)
	exists := errors.Is(err, object.ErrExists)
	if err == nil || !exists && refused(err) {
		return b.failed(ctx, "put", name, err)
	}
	// The object may be there because a try has stored it whose answer was lost. Without an answer it may be there too: a
	// server that refuses what it has not read closes the connection, and the refusal can be lost with it.
	there, getErr := b.get(limited, name, int64(len(stored)))
	switch {
	case getErr == nil && bytes.Equal(there, stored):
		return nil
	case getErr == nil || errors.Is(getErr, object.ErrTooLarge):
		return fmt.Errorf("%w: s3 put %q", object.ErrExists, name)
	case exists:
		return b.failed(ctx, "get", name, getErr)
	default:
		return b.failed(ctx, "put", name, err)
	}
}

// putNew stores an object unless there is one of that name, which is object.ErrExists whatever it is. Other errors are as
// they come.
func (b *Bucket) putNew(ctx context.Context, name string, stored []byte) (err error) {
	// The server checks what has come by one sum of the whole, not by sums of parts that are mixed with it.
	o := minio.PutObjectOptions{ContentType: contentType, DisableContentSha256: true}
	o.SetMatchETagExcept("*")
	sum := sha256.Sum256(stored)
	for range tries { // the library pauses behind each that is worth another
		data := &body{reader: bytes.NewReader(stored)}
		_, err = b.core.PutObject(ctx, b.opts.Bucket, b.opts.Prefix+name, data, int64(len(stored)), "", hex.EncodeToString(sum[:]), o)
		data.end()
		if minio.ToErrorResponse(err).Code == minio.PreconditionFailed {
			return object.ErrExists
		}
		if err == nil || ctx.Err() != nil || refused(err) && !passing(err) {
			return err
		}
	}
	return err
}

// Get implements object.Bucket.
func (b *Bucket) Get(ctx context.Context, name string, most int64) ([]byte, error) {
	if err := object.ValidateName(name); err != nil {
		return nil, err
	}
	data, err := b.get(ctx, name, most)
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return nil, b.missing(ctx, name)
	}
	var damage *object.DamageError
	if errors.As(err, &damage) {
		return nil, err
	}
	return data, b.failed(ctx, "get", name, err)
}

// get returns errors as they come.
func (b *Bucket) get(ctx context.Context, name string, most int64) ([]byte, error) {
	limited, stop := b.limit(ctx, max(most, 0))
	defer stop()
	body, info, _, err := b.core.GetObject(limited, b.opts.Bucket, b.opts.Prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if info.Size < 0 {
		return nil, errors.New("an answer that does not tell its length")
	}
	if info.Size > most {
		return nil, &object.DamageError{Reason: fmt.Sprintf("%d bytes, more than %d", info.Size, most), Err: object.ErrTooLarge}
	}
	data := make([]byte, info.Size)
	if _, err = io.ReadFull(body, data); err != nil {
		return nil, err
	}
	return data, nil
}

// missing asks again whether an object is not there, in another way.
func (b *Bucket) missing(ctx context.Context, name string) error {
	found, err := b.List(ctx, name, "", 1)
	if err != nil {
		return err
	}
	if len(found) > 0 && found[0].Name == name {
		return fmt.Errorf("%w: s3 get %q: the server lists it, and does not find it", persist.ErrUnavailable, name)
	}
	return fmt.Errorf("%w: s3 object %q", persist.ErrNotFound, name)
}

// Delete implements object.Bucket.
func (b *Bucket) Delete(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := object.ValidateName(name); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(deletesAtATime)
	for _, name := range names {
		group.Go(func() error { return b.delete(ctx, name) })
	}
	return group.Wait()
}

// delete drops one object: not every server takes a list of them.
func (b *Bucket) delete(ctx context.Context, name string) error {
	limited, stop := b.limit(ctx, 0)
	defer stop()
	err := b.core.RemoveObject(limited, b.opts.Bucket, b.opts.Prefix+name, minio.RemoveObjectOptions{})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return nil
	}
	return b.failed(ctx, "delete", name, err)
}

// List implements object.Bucket.
func (b *Bucket) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, error) {
	limited, stop := b.limit(ctx, 0)
	defer stop()
	limit = object.PageLimit(limit)
	noOwner := false
	o := minio.ListObjectsOptions{Prefix: b.opts.Prefix + prefix, Recursive: true, MaxKeys: limit, FetchOwner: &noOwner}
	if after != "" {
		o.StartAfter = b.opts.Prefix + after
	}
	var infos []object.Info
	for found := range b.core.ListObjectsIter(limited, b.opts.Bucket, o) {
		if found.Err != nil {
			return nil, b.failed(ctx, "list", prefix, found.Err)
		}
		name := strings.TrimPrefix(found.Key, b.opts.Prefix)
		infos = append(infos, object.Info{Name: name, Size: found.Size, Modified: found.LastModified})
		if len(infos) == limit {
			return infos, nil
		}
	}
	// A listing that ran out of time ends without a word.
	return infos, b.failed(ctx, "list", prefix, limited.Err())
}

// limit gives a request its time.
func (b *Bucket) limit(ctx context.Context, bytes int64) (context.Context, context.CancelFunc) {
	more := time.Duration(float64(bytes) / float64(b.opts.MinRate) * float64(time.Second))
	return context.WithTimeout(ctx, b.opts.Timeout+more)
}

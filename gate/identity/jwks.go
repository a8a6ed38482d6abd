package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

const (
	maxKeySet   = 64 << 10 // longest key set, in bytes
	keysTimeout = 5 * time.Second
	minKeyAge   = time.Minute     // an unknown key is not asked for again before
	maxKeyAge   = 5 * time.Minute // keys are asked for again after, beside those who use them: one that was taken back goes
	maxAnyKid   = 8               // keys that are tried for a token that names none
	minRSA      = 2048            // bits
)

// errNoKey is a token whose key the issuer does not have.
var errNoKey = errors.New("the issuer has no such key")

// source reads a key set.
type source func(ctx context.Context) ([]byte, error)

// keySet has the public keys of an issuer. It keeps those that it had while the issuer is away.
type keySet struct {
	source  source
	clock   func() time.Time
	storage jwkset.Storage
	byKid   keyfunc.Keyfunc
	breaker breaker
	changed func(away bool, err error)

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	fetchs sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	fetched time.Time // when the issuer answered last. Zero: never.
	flight  *flight   // the asking under way
}

// flight is one asking, for all who wait.
type flight struct {
	done chan struct{} // closed when it has ended
	err  error         // then
}

// newKeySet makes the keys of a configuration that was checked. A file must have them now, a URL when they are needed.
func newKeySet(c Config) (*keySet, error) {
	k := &keySet{clock: c.Clock, storage: jwkset.NewMemoryStorage(), breaker: breaker{clock: c.Clock}}
	k.changed = func(away bool, err error) {
		if away {
			c.Log.Warn("the issuer's keys cannot be had: those it had before still count", "error", err)
		} else {
			c.Log.Info("the issuer's keys can be had again")
		}
	}
	var err error
	if k.byKid, err = keyfunc.New(keyfunc.Options{Storage: k.storage}); err != nil {
		return nil, err
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	if c.JWT.JWKSURL != "" {
		k.source = urlSource(c.JWT.JWKSURL, c.HTTP)
		return k, nil
	}
	k.source = fileSource(c.JWT.JWKSFile)
	if err := k.load(k.ctx); err != nil {
		return nil, Problems{{[]string{"jwt", "jwks_file"}, "the issuer's keys cannot be read: " + err.Error(), "name a file with a JSON Web Key Set of public keys"}}
	}
	k.fetched = k.clock()
	return k, nil
}

// close ends an asking that is under way, and waits for it.
func (k *keySet) close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.cancel()
	k.fetchs.Wait()
}

// key returns the public key, or the keys, that may verify a token. Its error is errNoKey, or errUnavailable when the
// key is not known and the issuer cannot be asked.
func (k *keySet) key(ctx context.Context, t *jwt.Token) (any, error) {
	if found, err := k.find(ctx, t); err == nil {
		k.renew()
		return found, nil
	}
	if err := k.refresh(ctx, minKeyAge); err != nil {
		return nil, err
	}
	return k.find(ctx, t)
}

// find looks among the keys that are known.
func (k *keySet) find(ctx context.Context, t *jwt.Token) (any, error) {
	if _, named := t.Header["kid"]; named {
		key, err := k.byKid.KeyfuncCtx(ctx)(t)
		if err != nil || !fits(t.Method.Alg(), key) {
			return nil, errNoKey
		}
		return key, nil
	}
	all, err := k.storage.KeyReadAll(ctx)
	if err != nil {
		return nil, errNoKey
	}
	var set jwt.VerificationKeySet
	for _, j := range all {
		alg := j.Marshal().ALG.String()
		if fits(t.Method.Alg(), j.Key()) && (alg == "" || alg == t.Method.Alg()) && len(set.Keys) < maxAnyKid {
			set.Keys = append(set.Keys, j.Key())
		}
	}
	if len(set.Keys) == 0 {
		return nil, errNoKey
	}
	return set, nil
}

// fits reports whether a key is of the kind that an algorithm uses.
func fits(alg string, key any) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PublicKey:
		return alg == map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[k.Curve.Params().BitSize]
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// renew asks again when the issuer has not been asked for long, and does not wait.
func (k *keySet) renew() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.clock().Sub(k.fetched) > maxKeyAge {
		k.startLocked()
	}
}

// refresh asks the issuer, unless it has answered within the given time, and waits for the answer. Everybody who waits
// waits for the same one.
func (k *keySet) refresh(ctx context.Context, unless time.Duration) error {
	k.mu.Lock()
	if !k.fetched.IsZero() && k.clock().Sub(k.fetched) < unless {
		k.mu.Unlock()
		return nil
	}
	k.startLocked()
	f := k.flight
	k.mu.Unlock()
	if f == nil {
		return errUnavailable
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return errUnavailable
	}
}

// startLocked starts an asking, unless one is under way or the issuer is not to be asked now.
func (k *keySet) startLocked() {
	if k.flight != nil || k.closed {
		return
	}
	probe, ok := k.breaker.enter()
	if !ok {
		return
	}
	f := &flight{done: make(chan struct{})}
	k.flight = f
	k.fetchs.Add(1)
	go k.fetch(f, probe)
}

// fetch asks, and tells those who wait.
func (k *keySet) fetch(f *flight, probe bool) {
	defer k.fetchs.Done()
	ctx, cancel := context.WithTimeout(k.ctx, keysTimeout)
	defer cancel()
	err := k.load(ctx)
	o := answered
	if err != nil {
		o, f.err = failed, errUnavailable
	}
	if k.breaker.leave(probe, o) && k.ctx.Err() == nil {
		k.changed(err != nil, err)
	}
	k.mu.Lock()
	if err == nil {
		k.fetched = k.clock()
	}
	k.flight = nil
	k.mu.Unlock()
	close(f.done)
}

// load reads the keys and puts them in place of those there were.
func (k *keySet) load(ctx context.Context) error {
	keys, err := parseKeys(k.source(ctx))
	if err != nil {
		return err
	}
	return k.storage.KeyReplaceAll(ctx, keys)
}

// parseKeys returns the keys of a set that can verify a signature. Others are left out: symmetric ones (the secret is
// not the issuer's to choose), those for encryption, and kinds that are not known.
func parseKeys(data []byte, err error) ([]jwkset.JWK, error) {
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []jwkset.JWKMarshal `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("no key set: %w", err)
	}
	if set.Keys == nil {
		return nil, errors.New(`no key set: it has no "keys"`)
	}
	keys := make([]jwkset.JWK, 0, len(set.Keys))
	for _, m := range set.Keys {
		if m.USE != "" && m.USE != jwkset.UseSig || len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify) {
			continue
		}
		// Certificates are not looked at: one that is named by a URL would have to be fetched.
		m.X5U, m.X5C, m.X5T, m.X5TS256 = "", nil, "", ""
		j, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil || !strong(j.Key()) {
			continue
		}
		keys = append(keys, j)
	}
	return keys, nil
}

// strong reports whether a key is a public one that is hard enough to forge with.
func strong(key any) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSA
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// fileSource reads a file.
func fileSource(name string) source {
	return func(context.Context) ([]byte, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // it was read
		return readKeys(f)
	}
}

// urlSource asks a URL. It follows no redirects: the configuration says who is believed.
func urlSource(url string, client *http.Client) source {
	own := http.Client{}
	if client != nil {
		own = *client
	} else {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.DisableKeepAlives = true // a request every few minutes
		own.Transport = transport
	}
	own.Timeout, own.Jar = keysTimeout, nil
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return func(ctx context.Context) ([]byte, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Accept", "application/jwk-set+json, application/json")
		response, err := own.Do(r)
		if err != nil {
			return nil, err
		}
		defer func() { _ = response.Body.Close() }() // it was read
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("the issuer answers with status %d", response.StatusCode)
		}
		return readKeys(response.Body)
	}
}

// readKeys reads a key set that is not too long.
func readKeys(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxKeySet+1))
	if err == nil && len(data) > maxKeySet {
		err = fmt.Errorf("the key set is longer than %d bytes", maxKeySet)
	}
	return data, err
}

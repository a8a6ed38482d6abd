package s3_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/s3test"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
	"github.com/yserverd/yserverd/persist/object/objecttest"
	"github.com/yserverd/yserverd/persist/s3"
)

// Example stores a snapshot where no other can take its place.
func Example() {
	_ = func(ctx context.Context, name string, state []byte) error {
		bucket, err := s3.Open(s3.Options{
			Endpoint: "s3.example.com", Bucket: "documents", Region: "eu-central-1", Prefix: "yserverd", TLS: true,
		})
		if err != nil {
			return err
		}
		defer bucket.Close()
		if err := bucket.Check(ctx); err != nil {
			return err
		}
		stored, _ := object.Encode(state)
		return bucket.Put(ctx, name, stored)
	}
	// Output:
}

const most = 64 << 20

// options are those of a new, empty bucket.
func options(tb testing.TB) s3.Options {
	tb.Helper()
	server, bucket := s3test.Bucket(tb)
	return optionsOf(server, bucket)
}

func optionsOf(server *s3test.Server, bucket string) s3.Options {
	return s3.Options{
		Endpoint: server.Address(), Bucket: bucket, Region: s3test.Region, AccessKey: s3test.AccessKey,
		SecretKey: s3test.SecretKey, PathStyle: true,
	}
}

func open(tb testing.TB, o s3.Options) *s3.Bucket {
	tb.Helper()
	b, err := s3.Open(o)
	require.NoError(tb, err)
	tb.Cleanup(b.Close)
	return b
}

func TestBucketKeepsTheContract(t *testing.T) {
	objecttest.Run(t, func(tb testing.TB) object.Bucket { return open(tb, options(tb)) })
}

func TestPrefixKeepsTheContract(t *testing.T) {
	objecttest.Run(t, func(tb testing.TB) object.Bucket {
		o := options(tb)
		beside := open(tb, o)
		for _, name := range []string{"a", "team", "team/one0", "team/on", "z"} { // of somebody else
			require.NoError(tb, beside.Put(tb.Context(), name+".x", []byte("x")))
		}
		o.Prefix = "/team/one/"
		return open(tb, o)
	})
}

// TestVirtualHostKeepsTheContract: the bucket is in the name of the host, which nobody but the test resolves.
func TestVirtualHostKeepsTheContract(t *testing.T) {
	const domain = "s3.example.com"
	server := s3test.New(t, "--virtual-domain", domain)
	objecttest.Run(t, func(tb testing.TB) object.Bucket {
		o := optionsOf(server, server.Bucket(tb))
		want := o.Bucket + "." + domain + ":80"
		o.Endpoint, o.PathStyle = domain, false
		return open(tb, o.WithDial(func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != want {
				return nil, fmt.Errorf("asked for %s", address)
			}
			return (&net.Dialer{}).DialContext(ctx, network, server.Address())
		}))
	})
}

func TestTLSIsVerified(t *testing.T) {
	certificate, key, roots := selfSigned(t)
	server := s3test.NewTLS(t, certificate, key)
	o := optionsOf(server, "bucket")
	o.TLS, o.RootCAs = true, roots
	require.NoError(t, os.Mkdir(server.Path("bucket"), 0o700))
	b := open(t, o)
	require.NoError(t, b.Check(t.Context()))
	require.Equal(t, "https://"+server.Address()+"/bucket/", b.String())

	o.RootCAs = nil
	require.ErrorContains(t, open(t, o).Check(t.Context()), "certificate")
	o.TLS = false
	require.ErrorIs(t, open(t, o).Check(t.Context()), persist.ErrUnavailable)
	plain := options(t)
	plain.TLS = true
	require.ErrorContains(t, open(t, plain).Check(t.Context()), "s3.tls")
}

// selfSigned makes a certificate of the loopback interface, and returns its files.
func selfSigned(t *testing.T) (certificate, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certificatePEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(certificate, certificatePEM, 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	roots = x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(certificatePEM))
	return certificate, key, roots
}

func TestKeysOfTheEnvironment(t *testing.T) {
	o := options(t)
	o.AccessKey, o.SecretKey = "", ""
	t.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3test.SecretKey)
	require.NoError(t, open(t, o).Check(t.Context()))
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
	require.ErrorContains(t, open(t, o).Check(t.Context()), "secret key")
}

func TestStoredBytesAreTheObject(t *testing.T) {
	server, bucket := s3test.Bucket(t)
	o := optionsOf(server, bucket)
	o.Prefix = "below"
	b := open(t, o)
	require.NoError(t, b.Put(t.Context(), "folder/a", []byte("text")))
	file := server.Path(bucket + "/below/folder/a")
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "text", string(data), "not in chunks, nor compressed")

	require.NoError(t, os.WriteFile(file, []byte("tex"), 0o600)) // as a repair may do
	require.ErrorIs(t, b.Put(t.Context(), "folder/a", []byte("text")), object.ErrExists)
}

func TestOptionsThatCannotWork(t *testing.T) {
	good := s3.Options{Endpoint: "127.0.0.1:1", Bucket: "documents"}
	open(t, good)
	for reason, change := range map[string]func(*s3.Options){
		"s3.endpoint is empty":     func(o *s3.Options) { o.Endpoint = "" },
		"s3.endpoint is not":       func(o *s3.Options) { o.Endpoint = "https://key:very-secret@host" },
		"s3.endpoint is not a":     func(o *s3.Options) { o.Endpoint = "host/bucket" },
		"s3.endpoint":              func(o *s3.Options) { o.Endpoint = "host:port:more" },
		"s3.bucket":                func(o *s3.Options) { o.Bucket = "" },
		"s3.bucket \"Documents\"":  func(o *s3.Options) { o.Bucket = "Documents" },
		"s3.prefix":                func(o *s3.Options) { o.Prefix = "a/../b" },
		"s3.prefix has":            func(o *s3.Options) { o.Prefix = string(bytes.Repeat([]byte("a"), 300)) },
		"go together":              func(o *s3.Options) { o.SecretKey = "very-secret" },
		"s3.secret_key go togethe": func(o *s3.Options) { o.AccessKey = "key" },
		"negative":                 func(o *s3.Options) { o.Timeout = -1 },
		"negative timeout or rate": func(o *s3.Options) { o.MinRate = -1 },
	} {
		o := good
		change(&o)
		_, err := s3.Open(o)
		require.ErrorContains(t, err, reason)
		require.NotContains(t, err.Error(), "very-secret")
	}
}

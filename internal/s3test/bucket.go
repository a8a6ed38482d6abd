package s3test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// requestTimeout is for what is asked of a server here.
const requestTimeout = time.Minute

// Bucket returns the shared server and the name of a new, empty bucket of it, which goes with the test. It skips the test,
// or fails it, where the program is missing.
func Bucket(tb testing.TB) (*Server, string) {
	tb.Helper()
	s := Shared(tb)
	return s, s.Bucket(tb)
}

// Bucket returns the name of a new, empty bucket, which goes with the test.
func (s *Server) Bucket(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("bucket-%d", s.named.Add(1))
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	client, err := minio.New(s.Address(), &minio.Options{
		Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: Region, BucketLookup: minio.BucketLookupPath,
		Transport: &http.Transport{DisableKeepAlives: true},
	})
	if err == nil {
		err = client.MakeBucket(ctx, name, minio.MakeBucketOptions{Region: Region})
	}
	if err != nil {
		tb.Fatalf("make a bucket: %v", err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(s.Path(name)); err != nil {
			tb.Logf("remove a bucket: %v", err)
		}
	})
	return name
}

// Path returns the file or folder in which the server keeps a bucket, an object (as bucket/name), or the objects with a
// prefix that ends with a slash. What is changed there has changed for the server.
func (s *Server) Path(name string) string { return filepath.Join(s.data(), filepath.FromSlash(name)) }

package s3test_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/s3test"
)

// Example shows a test with a bucket of its own.
func Example() {
	_ = func(t *testing.T, open func(address, bucket, key, secret string)) {
		s, bucket := s3test.Bucket(t)
		open(s.Address(), bucket, s3test.AccessKey, s3test.SecretKey)
	}
	// Output:
}

func connect(t *testing.T, s *s3test.Server) *minio.Core {
	t.Helper()
	client, err := minio.NewCore(s.Address(), &minio.Options{
		Creds: credentials.NewStaticV4(s3test.AccessKey, s3test.SecretKey, ""), Region: s3test.Region,
		Transport: &http.Transport{DisableKeepAlives: true}, MaxRetries: 1,
	})
	require.NoError(t, err)
	return client
}

func put(t *testing.T, c *minio.Core, bucket, name, text string, onlyNew bool) error {
	t.Helper()
	var o minio.PutObjectOptions
	if onlyNew {
		o.SetMatchETagExcept("*")
	}
	_, err := c.PutObject(t.Context(), bucket, name, bytes.NewReader([]byte(text)), int64(len(text)), "", "", o)
	return err
}

func get(t *testing.T, c *minio.Core, bucket, name string) string {
	t.Helper()
	body, _, _, err := c.GetObject(t.Context(), bucket, name, minio.GetObjectOptions{})
	require.NoError(t, err)
	defer body.Close()
	text, err := io.ReadAll(body)
	require.NoError(t, err)
	return string(text)
}

func TestBucketsAreApart(t *testing.T) {
	s, first := s3test.Bucket(t)
	second := s.Bucket(t)
	require.NotEqual(t, first, second)
	c := connect(t, s)
	require.NoError(t, put(t, c, first, "folder/a", "text", false))
	require.Equal(t, "text", get(t, c, first, "folder/a"))
	require.FileExists(t, s.Path(first+"/folder/a"))
	_, err := c.StatObject(t.Context(), second, "folder/a", minio.StatObjectOptions{})
	require.Error(t, err)
}

func TestConditionalPutIsAtomic(t *testing.T) {
	s, bucket := s3test.Bucket(t)
	c := connect(t, s)
	for _, name := range []string{"a", "b", "c"} {
		var stored atomic.Int64
		var wg sync.WaitGroup
		for n := range 16 {
			wg.Go(func() {
				// What takes a while to read is tested before another one is stored.
				if put(t, c, bucket, name, strings.Repeat(string(rune('A'+n)), 1<<20), true) == nil {
					stored.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, stored.Load())
	}
}

func TestServerIsStoppedAndStarted(t *testing.T) {
	s := s3test.New(t)
	bucket, c := s.Bucket(t), connect(t, s)
	require.NoError(t, put(t, c, bucket, "kept", "text", false))
	for _, end := range []func() error{s.Stop, s.Kill} {
		require.NoError(t, end())
		require.NoError(t, end(), "none runs")
		_, err := net.Dial("tcp", s.Address())
		require.Error(t, err, "nobody is there")
		require.NoError(t, s.Start())
		require.Error(t, s.Start(), "it runs")
		require.Equal(t, "text", get(t, c, bucket, "kept"))
	}
}

func TestServerGoesWithItsTest(t *testing.T) {
	var folder string
	var pid int
	t.Run("user", func(t *testing.T) {
		s := s3test.New(t)
		folder, pid = s.Folder(), s.Pid()
		require.DirExists(t, folder)
	})
	require.NoDirExists(t, folder)
	require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
}

func TestServerThatDoesNotStartSaysWhy(t *testing.T) {
	s3test.Shared(t) // the program is here
	require.ErrorContains(t, s3test.Broken("--no-such-flag"), "no-such-flag")
}

func TestMissingProgramIsNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	path, built, err := s3test.FindProgram()
	if built {
		require.NoError(t, err)
		require.FileExists(t, path)
	} else {
		require.ErrorContains(t, err, "make needs")
	}
	require.NoError(t, os.WriteFile(os.Getenv("PATH")+"/versitygw", []byte("#!/bin/sh\n"), 0o755))
	_, _, err = s3test.FindProgram()
	require.NoError(t, err)
}

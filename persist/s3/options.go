package s3

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/yserverd/yserverd/persist/object"
)

// maxPrefixBytes is what names leave of the 1024 bytes that S3 takes.
const maxPrefixBytes = 1024 - object.MaxNameBytes

// Options say where a bucket is. Endpoint and Bucket are required.
type Options struct {
	// Endpoint is the server's host, with its port unless that is the usual one.
	Endpoint string
	// Bucket is the bucket's name.
	Bucket string
	// Region is the bucket's. Zero means us-east-1, which servers without regions take.
	Region string
	// Prefix is put in front of the names of all objects, with a slash between, so that a bucket can be shared.
	Prefix string

	// AccessKey and SecretKey are the keys of an account that may put, get, delete and list. Without them they are taken
	// from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), or from what the machine, the
	// container or the pod is given.
	AccessKey, SecretKey string

	// PathStyle puts the bucket into the path. Otherwise it is part of the host's name, as Amazon has it.
	PathStyle bool
	// TLS encrypts.
	TLS bool
	// RootCAs are the authorities to trust. Zero means the system's.
	RootCAs *x509.CertPool

	// Timeout is how long a request may take, in addition to the time for its bytes. Zero means 30 s.
	Timeout time.Duration
	// MinRate is how many bytes a second come or go at least. Zero means 256 KiB.
	MinRate int64

	dial func(ctx context.Context, network, address string) (net.Conn, error) // zero means the network's
}

func (o Options) withDefaults() Options {
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.MinRate == 0 {
		o.MinRate = 256 << 10
	}
	if o.dial == nil {
		o.dial = (&net.Dialer{Timeout: o.Timeout, KeepAlive: 15 * time.Second}).DialContext
	}
	if o.Prefix = strings.Trim(o.Prefix, "/"); o.Prefix != "" {
		o.Prefix += "/"
	}
	return o
}

// validate names options as the configuration does.
func (o Options) validate() error {
	switch {
	case o.Endpoint == "":
		return errors.New("s3.endpoint is empty: it is the host of the server, with its port")
	case strings.ContainsAny(o.Endpoint, "/@?# "):
		// What it contains may be a key: it is not repeated.
		return errors.New("s3.endpoint is not a host, or host:port: a scheme is s3.tls, a path s3.prefix, and keys have settings of their own")
	case (o.AccessKey == "") != (o.SecretKey == ""):
		return errors.New("s3.access_key and s3.secret_key go together: one of them is empty")
	case o.Timeout < 0 || o.MinRate < 0:
		return errors.New("s3: a negative timeout or rate")
	case len(o.Prefix) > maxPrefixBytes:
		return fmt.Errorf("s3.prefix has %d bytes, more than %d", len(o.Prefix), maxPrefixBytes)
	}
	if err := s3utils.CheckValidBucketNameStrict(o.Bucket); err != nil {
		return fmt.Errorf("s3.bucket %q: %w", o.Bucket, err)
	}
	if o.Prefix == "" {
		return nil
	}
	if err := object.ValidateName(strings.TrimSuffix(o.Prefix, "/")); err != nil {
		return fmt.Errorf("s3.prefix: %w", err)
	}
	return nil
}

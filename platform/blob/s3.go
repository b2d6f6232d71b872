package blob

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"llmhist/platform/logging"
	"llmhist/platform/outage"
)

// S3Options says where an object store is and how to use it.
type S3Options struct {
	Endpoint  string // http(s)://host[:port]; https when no scheme is given
	AccessKey string
	SecretKey logging.Secret
	Region    string        // "" = us-east-1
	Bucket    string        // created when missing and allowed
	Existing  bool          // for reading: the bucket has to be there, and nothing is written to try the store
	PublicURL string        // http(s)://host[:port] that browsers reach the store at; "" = Endpoint
	LinkLife  time.Duration // of signed links, up to 7 days; 0 = 5 minutes

	// Timeout bounds a round trip with a small object: a store that is silent
	// for so long does not answer. 0 = 2 s, which leaves room to tell the
	// client within 3 s.
	Timeout time.Duration
	// Idle bounds the pauses while content of more than 1 MiB moves. 0 = 10 s.
	Idle time.Duration
	// TempDir takes content of unknown length above 1 MiB on its way: its hash
	// goes ahead of it. "" = the system's directory for temporary files.
	TempDir string
}

const (
	smallObject  = 1 << 20
	maxOpening   = 4500 * time.Millisecond
	maxLinkLife  = 7 * 24 * time.Hour // Signature Version 4 has no longer links
	maxS3Bucket  = 63
	parallelCall = 256 // connections to one store
)

// S3 is a Bucket in an object store that speaks the S3 protocol with
// conditional writes (If-Match, If-None-Match), which OpenS3 makes sure of.
// Every call ends within the times of S3Options when the store is silent.
type S3 struct {
	bucket  string
	client  *minio.Core
	links   *minio.Client // signs for the address that browsers know
	life    time.Duration
	timeout time.Duration
	idle    time.Duration
	tempDir string
	pool    *http.Transport
	memory  outage.Memory

	mu     sync.Mutex
	queues map[string]*lineQueue // by key, of those being written
}

// OpenS3 returns the bucket, which it creates when it is missing, after it has
// made sure within 5 s that the store is there, lets us in and honours
// conditional writes. The error is one line that names the setting to look at
// and never shows a secret.
func OpenS3(ctx context.Context, options S3Options) (*S3, error) {
	options = options.withDefaults()
	endpoint, err := storeAddress("S3_ENDPOINT", options.Endpoint)
	if err != nil {
		return nil, err
	}
	public := endpoint
	if options.PublicURL != "" {
		if public, err = storeAddress("S3_PUBLIC_URL", options.PublicURL); err != nil {
			return nil, err
		}
	}
	if err := options.check(); err != nil {
		return nil, err
	}
	s := &S3{
		bucket: options.Bucket, life: options.LinkLife, timeout: options.Timeout, idle: options.Idle,
		tempDir: options.TempDir, pool: options.transport(), queues: map[string]*lineQueue{},
	}
	if s.client, err = minio.NewCore(endpoint.Host, options.clientFor(endpoint, s.pool)); err != nil {
		return nil, fmt.Errorf("S3_ENDPOINT is not usable: %w", err)
	}
	if s.links, err = minio.New(public.Host, options.clientFor(public, s.pool)); err != nil {
		return nil, fmt.Errorf("S3_PUBLIC_URL is not usable: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, maxOpening)
	defer cancel()
	if err := s.makeReady(ctx, options); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (o S3Options) withDefaults() S3Options {
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.LinkLife == 0 {
		o.LinkLife = 5 * time.Minute
	}
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Second
	}
	if o.Idle == 0 {
		o.Idle = 10 * time.Second
	}
	if o.TempDir == "" {
		o.TempDir = os.TempDir()
	}
	return o
}

func (o S3Options) check() error {
	switch {
	case !validS3Bucket(o.Bucket):
		return fmt.Errorf("S3_BUCKET: %q cannot name a bucket: use 3 to 63 lower-case letters, digits, '-' and '.'", o.Bucket)
	case o.AccessKey == "" || o.SecretKey == "":
		return errors.New("S3_ACCESS_KEY and S3_SECRET_KEY must both be set")
	case o.LinkLife < time.Second || o.LinkLife > maxLinkLife:
		return fmt.Errorf("links of an object store live from 1 second to 7 days, not %s", o.LinkLife)
	}
	return nil
}

// validS3Bucket follows the naming rules of general purpose buckets.
func validS3Bucket(name string) bool {
	if len(name) < 3 || len(name) > maxS3Bucket || strings.Contains(name, "..") {
		return false
	}
	inner := func(c byte) bool { return c == '-' || c == '.' }
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !inner(c) {
			return false
		}
	}
	return !inner(name[0]) && !inner(name[len(name)-1])
}

// storeAddress reads the address in the setting called key. It never repeats
// what was set: an address may carry a password.
func storeAddress(key, address string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Hostname() == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return nil, fmt.Errorf("%s must be an address such as https://s3.example.com or http://127.0.0.1:9000", key)
	}
	if parsed.User != nil {
		return nil, fmt.Errorf("%s must not carry credentials: they belong in S3_ACCESS_KEY and S3_SECRET_KEY", key)
	}
	if strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" || parsed.Fragment != "" {
		return nil, fmt.Errorf("%s must be a host and port without a path: requests are signed for the path that the store sees", key)
	}
	return parsed, nil
}

func (o S3Options) clientFor(address *url.URL, pool *http.Transport) *minio.Options {
	return &minio.Options{
		Creds:      credentials.NewStaticV4(o.AccessKey, o.SecretKey.Reveal(), ""),
		Secure:     address.Scheme == "https",
		Region:     o.Region, // known, so that nothing asks for it first
		Transport:  storeAnswers{pool},
		MaxRetries: 1, // S3 decides itself what is worth another attempt, and for how long
	}
}

func (o S3Options) transport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: o.Timeout, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:    o.Timeout,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		MaxIdleConns:           parallelCall,
		MaxIdleConnsPerHost:    parallelCall,
		MaxConnsPerHost:        parallelCall,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        64 << 10,
		ReadBufferSize:         64 << 10,
		DisableCompression:     true, // objects come as they are, with their length
	}
}

// Name returns the bucket's name.
func (s *S3) Name() string { return s.bucket }

// Close lets go of the connections that no call is using.
func (s *S3) Close() { s.pool.CloseIdleConnections() }

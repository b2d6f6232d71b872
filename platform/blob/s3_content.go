package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"llmhist/platform/fault"
	"llmhist/platform/spool"
)

const (
	emptySum    = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	maxS3Object = 5 << 30 // of one PUT, the only kind of write that is whole or absent and conditional
)

// errSource marks an error of the content's own reader.
var errSource = errors.New("the content cannot be read")

// content is a body whose size and hash are known, which the store is told
// ahead of it: the store refuses what arrives different, and the hash is kept
// with the object from its first moment.
type content struct {
	body  io.ReadSeeker
	start int64
	size  int64
	sum   string // SHA-256 in hex
	spool *os.File
}

// takeContent measures body. What can be read twice is, small content is held
// in memory, anything else goes through a temporary file.
func (s *S3) takeContent(ctx context.Context, body io.Reader, maxBytes int64) (*content, error) {
	if maxBytes <= 0 || maxBytes > maxS3Object {
		maxBytes = maxS3Object
	}
	c := &content{}
	sum := sha256.New()
	source := sourceReader{contextReader{ctx, body}}
	if seeker, ok := body.(io.ReadSeeker); ok {
		if start, err := seeker.Seek(0, io.SeekCurrent); err == nil {
			c.body, c.start = seeker, start
		}
	}
	var err error
	switch {
	case c.body != nil:
		c.size, err = io.Copy(sum, limited(source, maxBytes))
	default:
		err = s.hold(c, io.TeeReader(limited(source, maxBytes), sum))
	}
	if err == nil && c.size > maxBytes {
		err = fault.New(fault.TooLarge, "object_too_large", "The content is larger than this store accepts.")
	}
	if err != nil {
		c.close()
		return nil, err
	}
	c.sum = hex.EncodeToString(sum.Sum(nil))
	return c, nil
}

// hold keeps what body gives, in memory as long as it is small.
func (s *S3) hold(c *content, body io.Reader) error {
	var head bytes.Buffer
	size, err := io.CopyN(&head, body, smallObject+1)
	if errors.Is(err, io.EOF) {
		c.body, c.size = bytes.NewReader(head.Bytes()), size
		return nil
	}
	if err != nil {
		return err
	}
	if c.spool, err = os.CreateTemp(s.tempDir, "llmhist-put-*"); err != nil {
		return spool.Fault(err)
	}
	// Where the system allows it the file has no name from here on, so that a
	// crash leaves nothing; close removes it elsewhere.
	_ = os.Remove(c.spool.Name())
	c.size, err = io.Copy(c.spool, io.MultiReader(&head, body))
	if err != nil && !errors.Is(err, errSource) {
		err = spool.Fault(err)
	}
	c.body = c.spool
	return err
}

func (c *content) close() {
	if c.spool != nil {
		_ = c.spool.Close()
		_ = os.Remove(c.spool.Name())
	}
}

// sourceReader marks the errors of what it reads, for they are not the store's.
type sourceReader struct{ source io.Reader }

func (r sourceReader) Read(p []byte) (int, error) {
	n, err := r.source.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errSource, err)
	}
	return n, err
}

// attempt is the content on its way in one request. The HTTP client may go on
// reading a request's body after it has returned, so whoever wants the content
// back releases it first.
type attempt struct {
	mu       sync.Mutex
	source   io.Reader
	watch    *watch
	released bool
}

func (a *attempt) Read(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.released {
		return 0, errors.New("the request is over")
	}
	a.watch.moved()
	return a.source.Read(p)
}

func (a *attempt) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.released = true
}

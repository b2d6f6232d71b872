package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"

	"llmhist/platform/fault"
)

// maxResumes is how often in a row a reader starts again where its connection
// broke without getting a byte.
const maxResumes = 3

// s3Reader reads one version of an object, from any position. It holds the
// context of Open, which bounds its life.
type s3Reader struct {
	s      *S3
	ctx    context.Context
	object Object
	etag   string
	offset int64 // of the next Read
	body   *s3Body
	bodyAt int64 // where body is
	failed int   // resumes in a row
	closed bool
}

// s3Body is the body of one answer. The store's silence is counted only while
// somebody waits for it. A small object has that time for all of it: nobody
// waits longer for a store that lets it drip.
type s3Body struct {
	source io.ReadCloser
	watch  *watch
	small  bool
}

func (b *s3Body) Read(p []byte) (int, error) {
	began := time.Now()
	b.watch.moved()
	n, err := b.source.Read(p)
	b.watch.pause()
	if b.small {
		b.watch.limit = max(time.Millisecond, b.watch.limit-time.Since(began))
	}
	if errors.Is(err, io.EOF) {
		return n, io.EOF
	}
	return n, b.watch.explain(err)
}

func (b *s3Body) Close() error {
	defer b.watch.end()
	return b.source.Close()
}

// Open opens an object; see Bucket.
func (s *S3) Open(ctx context.Context, key string) (Reader, error) {
	if err := errors.Join(checkKey(key), ctx.Err()); err != nil {
		return nil, err
	}
	started := time.Now()
	body, info, err := s.openAt(ctx, key, 0, "")
	if s.again(ctx, err, started) {
		body, info, err = s.openAt(ctx, key, 0, "")
	}
	if err != nil {
		return nil, s3Fault(err)
	}
	return &s3Reader{s: s, ctx: ctx, object: s3Object(key, info), etag: info.ETag, body: body}, nil
}

// openAt starts reading at an offset, of the version etag when it is not "".
func (s *S3) openAt(ctx context.Context, key string, offset int64, etag string) (*s3Body, minio.ObjectInfo, error) {
	var options minio.GetObjectOptions
	if offset > 0 {
		if err := options.SetRange(offset, 0); err != nil {
			return nil, minio.ObjectInfo{}, err
		}
	}
	if etag != "" {
		if err := options.SetMatchETag(etag); err != nil {
			return nil, minio.ObjectInfo{}, err
		}
	}
	w := s.newWatch(ctx, s.timeout)
	source, info, _, err := s.client.GetObject(w.ctx, s.bucket, key, options)
	if err == nil && (info.ETag == "" || info.Size < 0) {
		_ = source.Close()
		err = errors.New("the answer to a read has no ETag or length: it is not an object store's")
	}
	if err != nil {
		err = s.learn(w, err)
		w.end()
		return nil, minio.ObjectInfo{}, err
	}
	w.pause()
	s.memory.Answered()
	w.limit = s.patience(info.Size)
	return &s3Body{source: source, watch: w, small: info.Size <= smallObject}, info, nil
}

// Object describes what is being read.
func (r *s3Reader) Object() Object { return r.object }

// Read reads on from the current position.
func (r *s3Reader) Read(p []byte) (int, error) {
	if r.closed {
		return 0, errors.New("read of a closed object")
	}
	if len(p) == 0 {
		return 0, nil
	}
	for r.offset < r.object.Size {
		n, err := r.readOnce(p[:min(int64(len(p)), r.object.Size-r.offset)])
		if n > 0 {
			r.failed = 0
			return n, nil // an error comes back with the next call
		}
		if err == nil {
			continue
		}
		if r.failed++; !broken(err) || r.failed > maxResumes || !pause(r.ctx, 100*time.Millisecond) {
			return 0, readFault(err)
		}
	}
	return 0, io.EOF
}

func (r *s3Reader) readOnce(p []byte) (int, error) {
	if r.body != nil && r.bodyAt != r.offset {
		r.drop()
	}
	if r.body == nil {
		body, _, err := r.s.openAt(r.ctx, r.object.Key, r.offset, r.etag)
		if err != nil {
			return 0, err
		}
		r.body, r.bodyAt = body, r.offset
	}
	n, err := r.body.Read(p)
	r.offset += int64(n)
	r.bodyAt += int64(n)
	if errors.Is(err, io.EOF) && r.offset < r.object.Size {
		err = fmt.Errorf("the object ended %d bytes early: %w", r.object.Size-r.offset, io.ErrUnexpectedEOF)
	}
	if err != nil {
		r.drop()
	}
	return n, err
}

// Seek sets the position of the next Read. The store is asked then.
func (r *s3Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.object.Size
	default:
		return 0, fmt.Errorf("seek from %d", whence)
	}
	if offset < 0 {
		return 0, errors.New("seek before the start of an object")
	}
	r.offset = offset
	return offset, nil
}

// Close ends the reading.
func (r *s3Reader) Close() error {
	r.closed = true
	r.drop()
	return nil
}

func (r *s3Reader) drop() {
	if r.body != nil {
		_ = r.body.Close() // what breaks here concerns only what nobody reads any more
		r.body = nil
	}
}

// readFault tells an object that was replaced or removed while it was read.
func readFault(err error) error {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && (answer.Code == "PreconditionFailed" || answer.Code == "NoSuchKey") {
		return fault.Wrap(answered(answer), fault.Conflict, "object_changed", "The object was changed while it was read. Read it again.")
	}
	return s3Fault(err)
}

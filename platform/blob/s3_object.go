package blob

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"llmhist/platform/fault"
)

// hashMetadata is the name of the user metadata that keeps an object's hash,
// the header x-amz-meta-sha256.
const hashMetadata = "Sha256"

func ifAbsent(options *minio.PutObjectOptions) { options.SetMatchETagExcept("*") }

func ifMatch(etag string) func(*minio.PutObjectOptions) {
	return func(options *minio.PutObjectOptions) { options.SetMatchETag(etag) }
}

// Put stores an object; see Bucket. Nothing is sent before body was read to its
// end. ModifiedAt is by the clock of this machine.
func (s *S3) Put(ctx context.Context, key string, body io.Reader, options PutOptions) (Object, error) {
	if err := errors.Join(checkKey(key), ctx.Err()); err != nil {
		return Object{}, err
	}
	content, err := s.takeContent(ctx, body, options.MaxBytes)
	if err != nil {
		return Object{}, err
	}
	defer content.close()
	headers := minio.PutObjectOptions{ContentType: options.ContentType}
	if headers.ContentType == "" {
		headers.ContentType = contentTypeOf(key)
	}
	put := func(condition func(*minio.PutObjectOptions)) error {
		return s.once(ctx, s.patience(content.size), func(w *watch) error {
			_, err := s.putOnce(w, key, content, headers, condition)
			return err
		})
	}
	started := time.Now()
	if options.IfAbsent {
		err = put(ifAbsent) // once: a repetition would find what the first attempt stored
	} else if err = put(nil); s.again(ctx, err, started) {
		err = put(nil)
	}
	if err = s3Fault(err); fault.Is(err, fault.NotFound) {
		err = unavailable(err) // nothing has to be there
	}
	if err != nil {
		return Object{}, err
	}
	return Object{
		Key: key, Size: content.size, ContentType: contentTypeOf(key), SHA256: content.sum,
		ModifiedAt: time.Now().UTC().Truncate(time.Millisecond),
	}, nil
}

// putOnce makes one request and returns the ETag of what it stored.
func (s *S3) putOnce(w *watch, key string, content *content, headers minio.PutObjectOptions,
	condition func(*minio.PutObjectOptions)) (string, error) {
	if _, err := content.body.Seek(content.start, io.SeekStart); err != nil {
		return "", errors.Join(errSource, err)
	}
	headers.UserMetadata = map[string]string{hashMetadata: content.sum}
	headers.DisableContentSha256 = true // of chunks: the hash of the whole is signed
	if condition != nil {
		condition(&headers)
	}
	body := &attempt{source: io.LimitReader(content.body, content.size), watch: w}
	defer body.release()
	stored, err := s.client.PutObject(w.ctx, s.bucket, key, body, content.size, "", content.sum, headers)
	if err == nil && stored.ETag == "" {
		err = errors.New("the answer to a write has no ETag: it is not an object store's")
	}
	return stored.ETag, err
}

// Stat describes an object; see Bucket.
func (s *S3) Stat(ctx context.Context, key string) (Object, error) {
	if err := errors.Join(checkKey(key), ctx.Err()); err != nil {
		return Object{}, err
	}
	var info minio.ObjectInfo
	err := s.call(ctx, func(w *watch) (err error) {
		info, err = s.client.StatObject(w.ctx, s.bucket, key, minio.StatObjectOptions{})
		var answer minio.ErrorResponse
		if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound && answer.RequestID == "" {
			info, err = s.statByReading(w, key)
		}
		return err
	})
	if err != nil {
		return Object{}, err
	}
	return s3Object(key, info), nil
}

func s3Object(key string, info minio.ObjectInfo) Object {
	object := Object{Key: key, Size: info.Size, ContentType: contentTypeOf(key), ModifiedAt: info.LastModified.UTC()}
	if sum := info.UserMetadata[hashMetadata]; len(sum) == len(emptySum) {
		object.SHA256 = sum
	}
	return object
}

// Delete removes an object; see Bucket.
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := errors.Join(checkKey(key), ctx.Err()); err != nil {
		return err
	}
	err := s.call(ctx, func(w *watch) error {
		return s.client.RemoveObject(w.ctx, s.bucket, key, minio.RemoveObjectOptions{})
	})
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// List returns objects in key order; see Bucket. Objects of other tools whose
// keys are no ValidKey are passed over.
func (s *S3) List(ctx context.Context, prefix, after string, limit int) ([]Object, error) {
	if prefix != "" && !ValidKey(strings.TrimSuffix(prefix, "/")) {
		return nil, checkKey(prefix)
	}
	var list []Object
	err := s.call(ctx, func(w *watch) error {
		list = []Object{}
		return s.list(w, prefix, after, func(object Object) bool {
			list = append(list, object)
			return len(list) < limit
		}, min(limit, 1000))
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

func (s *S3) list(w *watch, prefix, after string, visit func(Object) bool, page int) error {
	options := minio.ListObjectsOptions{Prefix: prefix, StartAfter: after, MaxKeys: page, Recursive: true}
	for info := range s.client.ListObjectsIter(w.ctx, s.bucket, options) {
		if info.Err != nil {
			return info.Err
		}
		w.moved()
		if !ValidKey(info.Key) || info.Key <= after {
			continue
		}
		if !visit(s3Object(info.Key, info)) {
			return nil
		}
	}
	return nil
}

// SignedURL signs a link to the object for S3_PUBLIC_URL; see Bucket. The type
// and name that it is served with are signed too.
func (s *S3) SignedURL(ctx context.Context, key string) (SignedURL, error) {
	if err := errors.Join(checkKey(key), ctx.Err()); err != nil {
		return SignedURL{}, err
	}
	link, err := s.links.PresignedGetObject(ctx, s.bucket, key, s.life, url.Values{
		"response-content-type":        {contentTypeOf(key)},
		"response-content-disposition": {`inline; filename="` + path.Base(key) + `"`},
		"response-cache-control":       {"private, max-age=300"},
	})
	if err != nil {
		return SignedURL{}, s3Fault(err)
	}
	return SignedURL{URL: link.String(), ExpiresIn: s.life.Truncate(time.Second)}, nil
}

package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"

	"llmhist/platform/fault"
)

// makeReady finds or creates the bucket and tries what everything else relies
// on. Its errors name settings.
func (s *S3) makeReady(ctx context.Context, options S3Options) error {
	err := s.findBucket(ctx)
	if codeOf(err) == "NoSuchBucket" && !options.Existing {
		if err = s.createBucket(ctx, options.Region); err != nil {
			return settingError(options, fmt.Sprintf("the bucket %q does not exist and cannot be created", s.bucket), err)
		}
	}
	if err != nil {
		return settingError(options, fmt.Sprintf("the bucket %q cannot be used", s.bucket), err)
	}
	if options.Existing {
		return nil
	}
	if err := s.tryConditions(ctx); err != nil {
		return settingError(options, fmt.Sprintf("the bucket %q cannot be written to", s.bucket), err)
	}
	s.removeProbes(ctx)
	return nil
}

// findBucket lists instead of asking for the bucket's head, because only an
// answer with a body says why access was refused.
func (s *S3) findBucket(ctx context.Context) error {
	return s.rawCall(ctx, func(w *watch) error {
		for found := range s.client.ListObjectsIter(w.ctx, s.bucket, minio.ListObjectsOptions{Recursive: true, MaxKeys: 1}) {
			return found.Err
		}
		return nil
	})
}

func (s *S3) createBucket(ctx context.Context, region string) error {
	err := s.rawCall(ctx, func(w *watch) error {
		return s.client.MakeBucket(w.ctx, s.bucket, minio.MakeBucketOptions{Region: region})
	})
	if code := codeOf(err); code == "BucketAlreadyOwnedByYou" || code == "BucketAlreadyExists" {
		return s.findBucket(ctx) // another process was first, or the name is someone else's
	}
	return err
}

var errIgnoresConditions = errors.New("conditional writes are ignored")

// probePrefix begins the keys of probes. They are no ValidKey, so that no listing of
// ours ever shows one.
const probePrefix = ".llmhist-probe-"

// probeAge is how old a probe is that nobody is at work with.
const probeAge = time.Hour

// removeProbes removes those that a start left which was killed. What fails is left
// to the next start.
func (s *S3) removeProbes(ctx context.Context) {
	_ = s.rawCall(ctx, func(w *watch) error {
		for found := range s.client.ListObjectsIter(w.ctx, s.bucket, minio.ListObjectsOptions{Prefix: probePrefix, MaxKeys: 100}) {
			if found.Err != nil {
				return found.Err
			}
			if time.Since(found.LastModified) < probeAge {
				continue
			}
			_ = s.client.RemoveObject(w.ctx, s.bucket, found.Key, minio.RemoveObjectOptions{})
			w.moved()
		}
		return nil
	})
}

// tryConditions makes sure that a write that must not happen does not: without
// it two processes would overwrite each other's lines in a daily index.
func (s *S3) tryConditions(ctx context.Context) error {
	key := probePrefix + rand.Text()
	put := func(condition func(*minio.PutObjectOptions)) error {
		return s.rawCall(ctx, func(w *watch) error {
			content := &content{body: bytes.NewReader(nil), sum: emptySum}
			_, err := s.putOnce(w, key, content, minio.PutObjectOptions{}, condition)
			return err
		})
	}
	if err := put(ifAbsent); err != nil {
		return err
	}
	again, other := put(ifAbsent), put(ifMatch("00000000000000000000000000000000"))
	removed := s.rawCall(ctx, func(w *watch) error {
		return s.client.RemoveObject(w.ctx, s.bucket, key, minio.RemoveObjectOptions{})
	})
	for _, err := range []error{again, other} {
		if err == nil {
			return errIgnoresConditions
		}
		if !lostRace(err) {
			return err
		}
	}
	return removed
}

// settingError says in one line which setting to look at.
func settingError(options S3Options, what string, err error) error {
	address, parseErr := storeAddress("S3_ENDPOINT", options.Endpoint)
	if parseErr != nil {
		return parseErr
	}
	where := address.Scheme + "://" + address.Host
	var answer minio.ErrorResponse
	switch {
	case errors.Is(err, errIgnoresConditions):
		return fmt.Errorf("S3_ENDPOINT: the object store at %s ignores If-Match and If-None-Match, without which lines of daily indexes get lost: use one that honours them", where)
	case errors.Is(err, context.Canceled):
		return err
	case !errors.As(err, &answer):
		return fmt.Errorf("S3_ENDPOINT: the object store at %s does not answer: %s", where, reason(err))
	}
	switch answer.Code {
	case "InvalidAccessKeyId", "XAdminUserNotFound", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken":
		return fmt.Errorf("S3_ACCESS_KEY and S3_SECRET_KEY: the object store at %s does not accept these credentials (%s)", where, answer.Code)
	case "RequestTimeTooSkewed":
		return fmt.Errorf("S3_ENDPOINT: the clock of this machine differs too much from that of the object store at %s", where)
	case "AuthorizationHeaderMalformed", "InvalidRegion", "PermanentRedirect", "IllegalLocationConstraintException":
		return fmt.Errorf("S3_REGION: the object store at %s expects another region than %q (%s)", where, options.Region, answer.Code)
	case "AccessDenied":
		return fmt.Errorf("S3_BUCKET (or S3_SPEECH_BUCKET): %s with these credentials: %s refuses it (S3_ACCESS_KEY)", what, where)
	}
	if answer.StatusCode < http.StatusBadRequest || answer.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("S3_ENDPOINT: the object store at %s does not answer usefully: %s: %s", where, what, reason(err))
	}
	return fmt.Errorf("S3_BUCKET (or S3_SPEECH_BUCKET): %s at %s: %s", what, where, reason(err))
}

// reason is the cause in one short line.
func reason(err error) string {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) {
		return fmt.Sprintf("status %d, %s", answer.StatusCode, oneLine(answer.Code))
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errSilent.Error()
	}
	var known *fault.Error
	if errors.As(err, &known) && known.Cause != nil {
		err = known.Cause
	}
	return oneLine(err.Error())
}

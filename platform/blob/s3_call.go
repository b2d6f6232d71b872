package blob

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/minio/minio-go/v7"

	"llmhist/platform/fault"
)

var errSilent = errors.New("the object store is silent")

// watch bounds a call by the store's silence instead of its length: it ends
// the context when nothing has moved for the limit.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
	began  time.Time
}

// newWatch waits only a moment for a store that has just been silent.
func (s *S3) newWatch(ctx context.Context, limit time.Duration) *watch {
	limit = s.memory.Patience(limit)
	ctx, cancel := context.WithCancelCause(ctx)
	return &watch{ctx: ctx, cancel: cancel, limit: limit, began: time.Now(), timer: time.AfterFunc(limit, func() { cancel(errSilent) })}
}

// learn notes whether the store answered, and explains the error.
func (s *S3) learn(w *watch, err error) error {
	err = w.explain(err)
	var answer minio.ErrorResponse
	switch {
	case err == nil, errors.As(err, &answer):
		s.memory.Answered()
	case errors.Is(err, errSilent):
		s.memory.Silent(w.began)
	}
	return err
}

// moved starts the limit anew, pause stops it while the other side waits for us.
func (w *watch) moved() { w.timer.Reset(w.limit) }
func (w *watch) pause() { w.timer.Stop() }

func (w *watch) end() {
	w.timer.Stop()
	w.cancel(nil)
}

// explain puts the reason why the context ended in the place of what the
// client made of it.
func (w *watch) explain(err error) error {
	if err == nil {
		return nil
	}
	if ended := endOf(w.ctx); ended != nil {
		return ended
	}
	return err
}

// endOf returns why ctx ended: the store's silence, or the caller's own reason.
func endOf(ctx context.Context) error {
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), errSilent) {
		return errSilent
	}
	return ctx.Err()
}

// call runs do and makes its error a fault.
func (s *S3) call(ctx context.Context, do func(w *watch) error) error {
	return s3Fault(s.rawCall(ctx, do))
}

// rawCall runs do, once more when the connection broke or the store asked for
// it, all within the time that small objects have.
func (s *S3) rawCall(ctx context.Context, do func(w *watch) error) error {
	if err := endOf(ctx); err != nil {
		return err
	}
	w := s.newWatch(ctx, s.timeout)
	defer w.end()
	err := do(w)
	if broken(err) && pause(w.ctx, 100*time.Millisecond) {
		err = do(w)
	}
	return s.learn(w, err)
}

// once runs do a single time: for what may not be repeated blindly.
func (s *S3) once(ctx context.Context, limit time.Duration, do func(w *watch) error) error {
	if err := endOf(ctx); err != nil {
		return err
	}
	w := s.newWatch(ctx, limit)
	defer w.end()
	return s.learn(w, do(w))
}

// again reports, after a pause, whether a call that has its time for itself may
// be made once more: only when it broke at once, so that the sum stays bounded.
func (s *S3) again(ctx context.Context, err error, started time.Time) bool {
	return broken(err) && time.Since(started) < s.timeout/6 && pause(ctx, 100*time.Millisecond)
}

// patience is how long the store may be silent over content of this size.
func (s *S3) patience(size int64) time.Duration {
	if size <= smallObject {
		return s.timeout
	}
	return max(s.idle, s.timeout)
}

// pause waits for a random part of limit, and reports false when ctx ended.
func pause(ctx context.Context, limit time.Duration) bool {
	timer := time.NewTimer(rand.N(limit) + time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// broken reports whether the connection failed or the store had a passing
// trouble, so that it is unknown what was done and another attempt may help.
func broken(err error) bool {
	var known *fault.Error
	if err == nil || errors.As(err, &known) || errors.Is(err, errSilent) || errors.Is(err, errSource) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return true
	}
	switch answer.StatusCode {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout, http.StatusTooManyRequests, http.StatusRequestTimeout:
		return true
	}
	return false
}

// lostRace reports whether a conditional write did not happen because the
// object is not, or no longer, as expected.
func lostRace(err error) bool {
	switch codeOf(err) {
	case "PreconditionFailed", "ConditionalRequestConflict", "OperationAborted", "NoSuchKey":
		return true
	}
	return false
}

// codeOf returns the code of a store's answer, "" for anything else.
func codeOf(err error) string {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) {
		return answer.Code
	}
	return ""
}

// answered is what the log learns of a store's error answer. Its message stays
// out: it is whatever stood in the body, content of objects included.
func answered(answer minio.ErrorResponse) error {
	return fmt.Errorf("the object store answered %d, code %s, request %s", answer.StatusCode, oneLine(answer.Code), oneLine(answer.RequestID))
}

// s3Fault gives an error of the store its kind.
func s3Fault(err error) error {
	var known *fault.Error
	if err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return unavailable(err)
	}
	cause := answered(answer)
	if answer.StatusCode == http.StatusInsufficientStorage {
		answer.Code = "InsufficientStorage"
	}
	switch answer.Code {
	case "NoSuchKey":
		return fault.Wrap(cause, fault.NotFound, "not_found", "There is no such object.")
	case "PreconditionFailed", "ConditionalRequestConflict":
		return fault.Wrap(cause, fault.Conflict, "object_exists", "An object of this name exists already.")
	case "EntityTooLarge", "MaxMessageLengthExceeded":
		return fault.Wrap(cause, fault.TooLarge, "object_too_large", "The content is larger than this store accepts.")
	case "InsufficientStorage", "XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "StorageFull", "TooManyObjects":
		return fault.Wrap(cause, fault.OutOfSpace, "storage_full", "The object store has no space left. Free some space or raise its quota and try again.")
	}
	return unavailable(cause)
}

func unavailable(cause error) *fault.Error {
	return fault.Wrap(cause, fault.Unavailable, "storage_unavailable", "The object store cannot be used right now. Try again shortly.")
}

// oneLine keeps what a store sent from breaking or flooding a line.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}

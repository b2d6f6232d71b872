package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"

	"llmhist/platform/fault"
)

const (
	maxLineAttempts = 40
	maxLinePause    = 200 * time.Millisecond
	maxLineObject   = 64 << 20
)

// lineChange is one caller's change to the lines of an object: a line to add,
// or a report of those to remove.
type lineChange struct {
	line []byte // with its newline
	drop func(line []byte) bool
	done chan error // takes the one outcome without waiting
	err  error      // of this change alone
}

// lineQueue holds the changes to one object that wait for the one being made.
type lineQueue struct{ waiting []*lineChange }

// lines is an object as it was last seen. The zero value is an absent one.
type lines struct {
	etag string
	data []byte
}

// AppendLine adds a line to an object; see Bucket. Lines that this process
// appends to one object at a time go together in one write, which another
// process's write in between makes start again.
func (s *S3) AppendLine(ctx context.Context, key string, line []byte) error {
	if bytes.IndexByte(line, '\n') >= 0 {
		return fault.New(fault.Internal, "internal", "A line of a daily index must not contain a line break.")
	}
	return s.change(ctx, key, &lineChange{line: append(bytes.Clone(line), '\n')})
}

// RemoveLines rewrites an object without some of its lines; see Bucket.
func (s *S3) RemoveLines(ctx context.Context, key string, drop func(line []byte) bool) error {
	return s.change(ctx, key, &lineChange{drop: drop})
}

// change queues one change and waits for it. A caller that leaves takes back
// what nobody has begun; what has begun is over soon, either way.
func (s *S3) change(ctx context.Context, key string, change *lineChange) error {
	if err := errors.Join(checkKey(key), ctx.Err()); err != nil {
		return err
	}
	change.done = make(chan error, 1)
	s.mu.Lock()
	queue, busy := s.queues[key]
	if !busy {
		queue = &lineQueue{}
		s.queues[key] = queue
		go s.makeChanges(key, queue)
	}
	queue.waiting = append(queue.waiting, change)
	s.mu.Unlock()
	select {
	case err := <-change.done:
		return err
	case <-ctx.Done():
		if s.takeBack(queue, change) {
			return ctx.Err()
		}
		return <-change.done
	}
}

func (s *S3) takeBack(queue *lineQueue, change *lineChange) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, waiting := range queue.waiting {
		if waiting == change {
			queue.waiting = append(queue.waiting[:i], queue.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// makeChanges makes the changes to one object, all that wait at a time, and
// ends when there are none. Each round is bounded, so it always ends.
func (s *S3) makeChanges(key string, queue *lineQueue) {
	var seen *lines
	for {
		batch := s.takeWaiting(key, queue)
		if len(batch) == 0 {
			return
		}
		var err error
		if seen, err = s.changeLines(key, batch, seen); errors.Is(err, errSilent) {
			// Those who came meanwhile have waited for the same silence.
			s.mu.Lock()
			batch = append(batch, queue.waiting...)
			queue.waiting = nil
			s.mu.Unlock()
		}
		finish(batch, err)
	}
}

// takeWaiting takes the changes that wait, and ends the queue when there are
// none.
func (s *S3) takeWaiting(key string, queue *lineQueue) []*lineChange {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := queue.waiting
	queue.waiting = nil
	if len(batch) == 0 {
		delete(s.queues, key)
	}
	return batch
}

func finish(batch []*lineChange, err error) {
	for _, change := range batch {
		if err == nil {
			change.done <- change.err
		} else {
			change.done <- s3Fault(err)
		}
	}
}

// changeLines makes the changes in one conditional write, from what was last
// seen of the object when that is known. It works for several callers and
// therefore under none of their contexts.
func (s *S3) changeLines(key string, batch []*lineChange, seen *lines) (*lines, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 2*s.timeout, errSilent)
	defer cancel()
	var unsure []byte // written without an answer
	var torn string   // ETag of what had not its hash
	remembered := seen != nil
	for try := range maxLineAttempts {
		if try > 0 && !pause(ctx, min(maxLinePause, 5*time.Millisecond<<min(try, 6))) {
			return nil, endOf(ctx)
		}
		var err error
		if seen == nil {
			seen, err = s.readLines(ctx, key)
			remembered = false
		}
		switch {
		case errors.Is(err, errTorn) && seen.etag != torn:
			torn, seen = seen.etag, nil
			continue
		case err != nil && !errors.Is(err, errTorn): // twice the same: only its hash is wrong
			return nil, err
		case unsure != nil && holds(seen.data, unsure, batch):
			return seen, nil // it was stored after all
		}
		after := applyChanges(seen.data, batch)
		if bytes.Equal(after, seen.data) {
			if remembered { // no write will tell whether another process has added what is to go
				seen = nil
				continue
			}
			return seen, nil
		}
		etag, err := s.putLines(ctx, key, after, seen.etag)
		switch {
		case err == nil:
			return &lines{etag: etag, data: after}, nil
		case broken(err) && unsure == nil:
			unsure = after
		case !lostRace(err):
			return nil, err
		}
		seen = nil
	}
	return nil, errors.New("too many processes write to one object at once")
}

var errTorn = errors.New("the object and its hash do not belong together")

// readLines reads a whole object. With errTorn it returns content that does not
// have the hash kept with it: of two versions, or changed by other tools.
func (s *S3) readLines(ctx context.Context, key string) (*lines, error) {
	started := time.Now()
	found, err := s.readLinesOnce(ctx, key)
	if !errors.Is(err, errTorn) && s.again(ctx, err, started) {
		found, err = s.readLinesOnce(ctx, key)
	}
	if codeOf(err) == "NoSuchKey" {
		return &lines{}, nil
	}
	return found, err
}

func (s *S3) readLinesOnce(ctx context.Context, key string) (*lines, error) {
	body, info, err := s.openAt(ctx, key, 0, "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	if info.Size > maxLineObject {
		return nil, fault.New(fault.TooLarge, "object_too_large", "A daily index is larger than expected.")
	}
	data := make([]byte, info.Size)
	if _, err := io.ReadFull(body, data); err != nil {
		return nil, err
	}
	found := &lines{etag: info.ETag, data: data}
	if want := s3Object(key, info).SHA256; want != "" && want != hashOf(data) {
		return found, errTorn
	}
	return found, nil
}

func (s *S3) putLines(ctx context.Context, key string, data []byte, etag string) (stored string, err error) {
	condition := ifAbsent
	if etag != "" {
		condition = ifMatch(etag)
	}
	content := &content{body: bytes.NewReader(data), size: int64(len(data)), sum: hashOf(data)}
	err = s.once(ctx, s.patience(content.size), func(w *watch) error {
		stored, err = s.putOnce(w, key, content, minio.PutObjectOptions{ContentType: contentTypeOf(key)}, condition)
		return err
	})
	return stored, err
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// applyChanges returns data with the changes made in their order.
func applyChanges(data []byte, batch []*lineChange) []byte {
	after := bytes.Clone(data)
	for _, change := range batch {
		after = change.apply(after)
	}
	return after
}

// holds reports whether data is what the batch made, or that with lines which
// another process added since. What the batch removed must not be there: data
// from before it begins with what it made, too, when the last lines were to go.
func holds(data, made []byte, batch []*lineChange) bool {
	if bytes.Equal(data, made) {
		return true
	}
	if !bytes.HasPrefix(data, made) {
		return false
	}
	for _, change := range batch {
		if change.drop != nil && !bytes.Equal(change.apply(data), data) {
			return false
		}
	}
	return true
}

// apply returns data with the change made, or as it was when it fails. A last
// line that was cut short was never acknowledged and makes room for the next.
func (c *lineChange) apply(data []byte) (after []byte) {
	if c.drop == nil {
		return append(data[:bytes.LastIndexByte(data, '\n')+1], c.line...)
	}
	defer func() {
		if broken := recover(); broken != nil { // the caller's function, but not its goroutine
			c.err = fault.Wrap(fmt.Errorf("panic: %v", broken), fault.Internal, "internal", "A line of a daily index could not be judged.")
			after = data
		}
	}()
	after = make([]byte, 0, cap(data))
	for line := range bytes.Lines(data) {
		if !c.drop(bytes.TrimSuffix(line, []byte("\n"))) {
			after = append(after, line...)
		}
	}
	return after
}

package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

// everyCall makes each kind of call once and returns their errors by name.
func everyCall(ctx context.Context, bucket blob.Bucket) map[string]func() error {
	return map[string]func() error{
		"Put": func() error {
			_, err := bucket.Put(ctx, "some/object", strings.NewReader("content"), blob.PutOptions{})
			return err
		},
		"PutIfAbsent": func() error {
			_, err := bucket.Put(ctx, "other/object", strings.NewReader("content"), blob.PutOptions{IfAbsent: true})
			return err
		},
		"Read": func() error { _, err := blob.ReadAll(ctx, bucket, "there/object", 1<<20); return err },
		"Stat": func() error { _, err := bucket.Stat(ctx, "there/object"); return err },
		"Delete": func() error {
			return bucket.Delete(ctx, "some/object")
		},
		"List":       func() error { _, err := bucket.List(ctx, "there/", "", 10); return err },
		"AppendLine": func() error { return bucket.AppendLine(ctx, "there/day.jsonl", []byte("line")) },
		"RemoveLines": func() error {
			return bucket.RemoveLines(ctx, "there/day.jsonl", func([]byte) bool { return false })
		},
	}
}

// faultIn makes every call at once and wants a fault of that kind from each,
// within 3 s.
func faultIn(t *testing.T, bucket blob.Bucket, kind fault.Kind, code string) {
	t.Helper()
	var wg sync.WaitGroup
	for name, call := range everyCall(t.Context(), bucket) {
		wg.Go(func() {
			started := time.Now()
			err := call()
			if took := time.Since(started); took > 3*time.Second {
				t.Errorf("%s took %s", name, took)
			}
			if !fault.Is(err, kind) || fault.CodeOf(err) != code {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
}

// works makes every call and wants success within 3 s.
func works(t *testing.T, bucket blob.Bucket) {
	t.Helper()
	for name, call := range everyCall(t.Context(), bucket) {
		started := time.Now()
		err := call()
		if fault.Is(err, fault.Conflict) && name == "PutIfAbsent" {
			err = nil // an attempt under a fault was stored after all
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(started); took > 3*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

func prepared(t *testing.T, options blob.S3Options) *blob.S3 {
	t.Helper()
	bucket := testkit.OpenS3(t, options)
	put(t, bucket, "there/object", "content")
	put(t, bucket, "there/day.jsonl", "first\n")
	return bucket
}

func TestEveryTroubleIsOverInTimeAndHealsByItself(t *testing.T) {
	for name, trouble := range map[string]func(*testkit.Proxy){
		"refuse":      func(p *testkit.Proxy) { p.Set(testkit.Refuse) },
		"hang":        func(p *testkit.Proxy) { p.Set(testkit.Hang) },
		"half-open":   func(p *testkit.Proxy) { p.Set(testkit.HalfOpen) },
		"reset":       func(p *testkit.Proxy) { p.Set(testkit.Reset) },
		"garbage":     func(p *testkit.Proxy) { p.Set(testkit.Garbage) },
		"drip":        func(p *testkit.Proxy) { p.Set(testkit.Drip) },
		"cut answers": func(p *testkit.Proxy) { p.CutAnswers(40) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy, options := throughProxy(t)
			bucket := prepared(t, options)
			for range 2 {
				trouble(proxy)
				faultIn(t, bucket, fault.Unavailable, "storage_unavailable")
				proxy.Set(testkit.Pass)
				works(t, bucket)
			}
		})
	}
	t.Run("slow", func(t *testing.T) {
		t.Parallel()
		proxy, options := throughProxy(t)
		bucket := prepared(t, options)
		proxy.Delay(300 * time.Millisecond)
		works(t, bucket)
		proxy.Set(testkit.Pass)
	})
}

func TestConnectionsThatDiedUnusedHarmNobody(t *testing.T) {
	proxy, options := throughProxy(t)
	bucket := prepared(t, options)
	var wg sync.WaitGroup
	for i := range 20 { // so that there are connections to die
		wg.Go(func() {
			if _, err := bucket.Stat(t.Context(), "there/object"); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wg.Wait()
	proxy.Disconnect()
	for i := range 20 {
		wg.Go(func() {
			if _, err := bucket.Put(t.Context(), fmt.Sprintf("some/%d", i), strings.NewReader("x"), blob.PutOptions{}); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

func TestManyCallersOfAHangingStoreAllComeBackInTime(t *testing.T) {
	proxy, options := throughProxy(t)
	bucket := prepared(t, options)
	proxy.Set(testkit.Hang)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			// The later ones wait behind a write that has begun.
			time.Sleep(time.Duration(i) * 30 * time.Millisecond)
			started := time.Now()
			if err := bucket.AppendLine(t.Context(), "there/day.jsonl", []byte("x")); !fault.Is(err, fault.Unavailable) {
				t.Error(err)
			}
			if took := time.Since(started); took > 3*time.Second {
				t.Errorf("%d waited %s", i, took)
			}
		})
	}
	wg.Wait()
	proxy.Set(testkit.Pass)
	works(t, bucket)
}

func TestACallerThatLeavesDoesNotWait(t *testing.T) {
	proxy, options := throughProxy(t)
	bucket := prepared(t, options)
	proxy.Set(testkit.Hang)
	for name, call := range map[string]func(context.Context) error{
		"Stat": func(ctx context.Context) error { _, err := bucket.Stat(ctx, "there/object"); return err },
		"Put": func(ctx context.Context) error {
			_, err := bucket.Put(ctx, "some/object", strings.NewReader("x"), blob.PutOptions{})
			return err
		},
		"Open": func(ctx context.Context) error { _, err := bucket.Open(ctx, "there/object"); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		started := time.Now()
		err := call(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(started) > time.Second {
			t.Errorf("%s: %v after %s", name, err, time.Since(started))
		}
	}
	proxy.Set(testkit.Pass)
}

func TestALineWhoseCallerLeftBeforeItsTurnIsNotWritten(t *testing.T) {
	proxy, options := throughProxy(t)
	bucket := prepared(t, options)
	proxy.Set(testkit.Hang)
	first := make(chan error, 1)
	go func() { first <- bucket.AppendLine(t.Context(), "there/day.jsonl", []byte("begun")) }()
	until(t, func() bool { return blob.Waiting(bucket, "there/day.jsonl") == 0 })
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error, 1)
	go func() { second <- bucket.AppendLine(ctx, "there/day.jsonl", []byte("taken back")) }()
	until(t, func() bool { return blob.Waiting(bucket, "there/day.jsonl") == 1 })
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := <-first; !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
	proxy.Set(testkit.Pass)
	if err := bucket.AppendLine(t.Context(), "there/day.jsonl", []byte("last")); err != nil {
		t.Fatal(err)
	}
	if got := content(t, bucket, "there/day.jsonl"); strings.Contains(got, "taken back") || !strings.HasSuffix(got, "\nlast\n") {
		t.Errorf("%q", got)
	}
}

// until waits for what another goroutine is about to do.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to that")
		}
	}
}

func TestAnInterruptedReadGoesOnWhereItWas(t *testing.T) {
	proxy, options := throughProxy(t)
	bucket := testkit.OpenS3(t, options)
	text := strings.Repeat("0123456789abcdef", 100_000)
	put(t, bucket, key, text)
	proxy.CutAnswers(700_000) // each connection gives less than half
	reader, err := bucket.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	if all, err := io.ReadAll(reader); err != nil || string(all) != text {
		t.Errorf("%d of %d bytes, %v", len(all), len(text), err)
	}
	proxy.Set(testkit.Pass)
}

func TestAReadThatHangsHalfWayEnds(t *testing.T) {
	proxy, options := throughProxy(t)
	options.Idle = 500 * time.Millisecond
	options.Timeout = 500 * time.Millisecond
	bucket := testkit.OpenS3(t, options)
	if _, err := bucket.Put(t.Context(), key, noise(40<<20), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	reader, err := bucket.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	for range 2 {
		time.Sleep(700 * time.Millisecond) // a slow reader is not a silent store
		if _, err := io.ReadFull(reader, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	proxy.Set(testkit.Hang)
	started := time.Now()
	n, err := io.Copy(io.Discard, reader)
	if !fault.Is(err, fault.Unavailable) || time.Since(started) > 3*time.Second {
		t.Errorf("%d bytes, %v after %s", n, err, time.Since(started))
	}
	proxy.Set(testkit.Pass)
	if _, err := bucket.Stat(t.Context(), key); err != nil {
		t.Error(err)
	}
}

// dripping gives one byte at a time, slowly.
type dripping struct{ io.ReadCloser }

func (d dripping) Read(p []byte) (int, error) {
	time.Sleep(400 * time.Millisecond) // the slowness under test
	return d.ReadCloser.Read(p[:1])
}

func TestASmallObjectThatDripsIsGivenUpInTime(t *testing.T) {
	gate, options := newGateway(t)
	bucket := prepared(t, options)
	gate.change(func(response *http.Response) error {
		response.Body = dripping{response.Body}
		return nil
	})
	started := time.Now()
	_, err := blob.ReadAll(t.Context(), bucket, "there/object", 1<<20)
	if took := time.Since(started); !fault.Is(err, fault.Unavailable) || took > 3*time.Second {
		t.Errorf("%v after %s", err, took)
	}
}

func TestTheStepsAfterASilenceWaitOnlyAMoment(t *testing.T) {
	proxy, options := throughProxy(t)
	bucket := prepared(t, options)
	proxy.Set(testkit.Hang)
	started := time.Now()
	for range 3 {
		if err := bucket.Delete(t.Context(), "some/object"); !fault.Is(err, fault.Unavailable) {
			t.Error(err)
		}
	}
	if took := time.Since(started); took > 3*time.Second {
		t.Errorf("three steps took %s", took)
	}
	proxy.Set(testkit.Pass)
	works(t, bucket)
}

func TestAnswersOfTheStoreBecomeFaults(t *testing.T) {
	gate, options := newGateway(t)
	bucket := prepared(t, options)
	for _, test := range []struct {
		status int
		code   string
		kind   fault.Kind
		want   string
	}{
		{507, "InsufficientStorage", fault.OutOfSpace, "storage_full"}, {507, "Whatever", fault.OutOfSpace, "storage_full"},
		{507, "XMinioStorageFull", fault.OutOfSpace, "storage_full"}, {403, "QuotaExceeded", fault.OutOfSpace, "storage_full"},
		{400, "XMinioAdminBucketQuotaExceeded", fault.OutOfSpace, "storage_full"},
		{503, "SlowDown", fault.Unavailable, "storage_unavailable"}, {500, "InternalError", fault.Unavailable, "storage_unavailable"},
		{403, "AccessDenied", fault.Unavailable, "storage_unavailable"}, {404, "NoSuchBucket", fault.Unavailable, "storage_unavailable"},
		{400, "EntityTooLarge", fault.TooLarge, "object_too_large"},
	} {
		gate.answers(test.status, test.code)
		started := time.Now()
		if _, err := bucket.Put(t.Context(), key, strings.NewReader("x"), blob.PutOptions{}); !fault.Is(err, test.kind) || fault.CodeOf(err) != test.want {
			t.Errorf("Put %d %s: %v", test.status, test.code, err)
		} else if strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), test.code) {
			t.Errorf("%d %s goes to the log as %v", test.status, test.code, err)
		}
		if err := bucket.AppendLine(t.Context(), "there/day.jsonl", []byte("x")); !fault.Is(err, test.kind) || fault.CodeOf(err) != test.want {
			t.Errorf("AppendLine %d %s: %v", test.status, test.code, err)
		}
		if took := time.Since(started); took > 5*time.Second {
			t.Errorf("%s took %s", test.code, took)
		}
	}
	gate.change(func(*http.Response) error { return nil })
	works(t, bucket)
}

// TestA404OfAProxyIsNotTheStores: it says nothing about what there is.
func TestA404OfAProxyIsNotTheStores(t *testing.T) {
	gate, options := newGateway(t)
	bucket := prepared(t, options)
	for _, page := range []string{"404 page not found\n", "", "<html>" + strings.Repeat(" ", 4<<10) + "<Error></html>"} {
		gate.answersPage(http.StatusNotFound, page)
		faultIn(t, bucket, fault.Unavailable, "storage_unavailable")
	}
	gate.answers(http.StatusNotFound, "NoSuchKey")
	if err := second(bucket.Put(t.Context(), key, strings.NewReader("x"), blob.PutOptions{})); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Put: %v", err)
	}
	gate.change(func(response *http.Response) error { // a store that gives its answers no number
		response.Header.Del("X-Amz-Request-Id")
		return nil
	})
	works(t, bucket)
	for name, err := range map[string]error{
		"Stat": second(bucket.Stat(t.Context(), "not/there")),
		"Open": second(bucket.Open(t.Context(), "not/there")),
	} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := bucket.AppendLine(t.Context(), "not/there.jsonl", []byte("first")); err != nil {
		t.Error(err)
	}
}

// TestAProbeThatAKilledStartLeftIsRemovedByALaterOne: one that may be at work is not.
func TestAProbeThatAKilledStartLeftIsRemovedByALaterOne(t *testing.T) {
	gate, options := newGateway(t)
	modified := regexp.MustCompile("<LastModified>[^<]*<")
	starts := func(old bool) (removed int, err error) {
		var gone sync.Map
		gate.change(func(response *http.Response) error {
			request := response.Request
			if request.Method == http.MethodDelete && strings.Contains(request.URL.Path, ".llmhist-probe-") {
				gone.Store(request.URL.Path, true)
			}
			if old && request.URL.Query().Get("prefix") != "" {
				list, err := io.ReadAll(response.Body)
				list = modified.ReplaceAll(list, []byte("<LastModified>2020-01-01T00:00:00.000Z<"))
				response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(list)), int64(len(list))
				response.Header.Del("Content-Length")
				return err
			}
			return nil
		})
		bucket, err := blob.OpenS3(t.Context(), options)
		if err == nil {
			bucket.Close()
		}
		gone.Range(func(any, any) bool { removed++; return true })
		return removed, err
	}
	gate.refuse(func(r *http.Request) bool { return r.Method == http.MethodDelete })
	if _, err := starts(false); err == nil {
		t.Fatal("nothing went wrong")
	}
	gate.refuse(func(*http.Request) bool { return false })
	if removed, err := starts(false); err != nil || removed != 1 {
		t.Errorf("%d removed beside a young one, %v", removed, err)
	}
	if removed, err := starts(true); err != nil || removed != 2 {
		t.Errorf("%d removed beside one that was left, %v", removed, err)
	}
	if removed, err := starts(true); err != nil || removed != 1 {
		t.Errorf("%d removed when all is well, %v", removed, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestAPassingTroubleIsNotSeen(t *testing.T) {
	gate, options := newGateway(t)
	bucket := prepared(t, options)
	for name, call := range everyCall(t.Context(), bucket) {
		if name == "PutIfAbsent" {
			continue // is not repeated: it would find its own object
		}
		var calls atomic.Int32
		gate.change(func(response *http.Response) error {
			if calls.Add(1) == 1 {
				response.StatusCode = http.StatusServiceUnavailable
			}
			return nil
		})
		if err := call(); err != nil || calls.Load() < 2 {
			t.Errorf("%s: %v after %d calls", name, err, calls.Load())
		}
	}
}

// TestALineOfAnotherProcessIsRemoved: what this process remembers of the object is
// from before that line.
func TestALineOfAnotherProcessIsRemoved(t *testing.T) {
	gate, options := newGateway(t)
	bucket, other := prepared(t, options), testkit.OpenS3(t, options)
	removed := make(chan error, 1)
	var stored atomic.Bool
	gate.change(func(response *http.Response) error {
		if response.Request.Method != http.MethodPut || !stored.CompareAndSwap(false, true) {
			return nil
		}
		// The other's line comes while the answer to this one's is on its way.
		if err := other.AppendLine(t.Context(), "there/day.jsonl", []byte("theirs")); err != nil {
			t.Error(err)
		}
		go func() {
			removed <- bucket.RemoveLines(t.Context(), "there/day.jsonl", func(line []byte) bool { return string(line) == "theirs" })
		}()
		time.Sleep(50 * time.Millisecond) // until the removal waits
		return nil
	})
	if err := bucket.AppendLine(t.Context(), "there/day.jsonl", []byte("ours")); err != nil {
		t.Fatal(err)
	}
	if err := <-removed; err != nil {
		t.Fatal(err)
	}
	if got := content(t, bucket, "there/day.jsonl"); got != "first\nours\n" {
		t.Errorf("%q", got)
	}
}

func TestALineWhoseAnswerWasLostIsThereOnce(t *testing.T) {
	gate, options := newGateway(t)
	bucket := prepared(t, options)
	var lost atomic.Bool
	gate.change(func(response *http.Response) error {
		if response.Request.Method == http.MethodPut && lost.CompareAndSwap(false, true) {
			return errDropAnswer // it was stored, but nobody heard
		}
		return nil
	})
	if err := bucket.AppendLine(t.Context(), "there/day.jsonl", []byte("second")); err != nil {
		t.Fatal(err)
	}
	if got := content(t, bucket, "there/day.jsonl"); got != "first\nsecond\n" || !lost.Load() {
		t.Errorf("%q", got)
	}
}

func TestALineIsRemovedThoughTheFirstAttemptBrokeOff(t *testing.T) {
	for _, stored := range []bool{false, true} {
		for _, gone := range []string{"first", "second", "third", "every"} {
			gate, options := newGateway(t)
			bucket := prepared(t, options)
			for _, line := range []string{"second", "third"} {
				if err := bucket.AppendLine(t.Context(), "there/day.jsonl", []byte(line)); err != nil {
					t.Fatal(err)
				}
			}
			var lost atomic.Bool
			if stored {
				gate.change(func(response *http.Response) error {
					if response.Request.Method == http.MethodPut && lost.CompareAndSwap(false, true) {
						return errDropAnswer
					}
					return nil
				})
			} else {
				gate.refuse(func(request *http.Request) bool {
					return request.Method == http.MethodPut && lost.CompareAndSwap(false, true)
				})
			}
			err := bucket.RemoveLines(t.Context(), "there/day.jsonl", func(line []byte) bool {
				return gone == "every" || string(line) == gone
			})
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			for _, line := range []string{"first", "second", "third"} {
				if gone != "every" && gone != line {
					want += line + "\n"
				}
			}
			if got := content(t, bucket, "there/day.jsonl"); got != want || !lost.Load() {
				t.Errorf("without %q, stored at once: %t: %q", gone, stored, got)
			}
		}
	}
}

func TestAnotherProcessBetweenReadingAndWritingLosesNothing(t *testing.T) {
	gate, options := newGateway(t)
	mine := prepared(t, options)
	direct := testkit.S3Options(t)
	direct.Bucket = options.Bucket
	other := testkit.OpenS3(t, direct)
	var times atomic.Int32
	gate.change(func(response *http.Response) error {
		if response.Request.Method != http.MethodGet {
			return nil
		}
		n := times.Add(1) // after we have read, and before we write
		switch {
		case n == 3:
			return other.RemoveLines(context.Background(), "there/day.jsonl", func(line []byte) bool { return string(line) == "first" })
		case n < 6:
			return other.AppendLine(context.Background(), "there/day.jsonl", fmt.Appendf(nil, "other %d", n))
		}
		return nil
	})
	if err := mine.AppendLine(t.Context(), "there/day.jsonl", []byte("mine")); err != nil {
		t.Fatal(err)
	}
	if got := content(t, other, "there/day.jsonl"); got != "other 1\nother 2\nother 4\nother 5\nmine\n" {
		t.Errorf("%q", got)
	}
}

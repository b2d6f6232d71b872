package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const batchSize, wait = 50, 200 * time.Millisecond

// receiver takes batches unless it is told to fail.
type receiver struct {
	mu       sync.Mutex
	fail     func(Batch) error
	attempts int
	batches  []Batch
	seen     map[string]int
}

func (r *receiver) deliver(ctx context.Context, batch Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts++
	if r.fail != nil {
		if err := r.fail(batch); err != nil {
			return err
		}
	}
	if r.seen == nil {
		r.seen = map[string]int{}
	}
	r.batches = append(r.batches, batch)
	for _, record := range batch.Records {
		r.seen[string(record)]++
	}
	return nil
}

func (r *receiver) become(fail func(Batch) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = fail
}

var errDown = errors.New("down")

func down(Batch) error { return errDown }

func open(t testing.TB, dir string, r *receiver, adjust ...func(*Config)) *Outbox {
	t.Helper()
	config := Config{Dir: dir, MaxBytes: 1 << 20, BatchSize: batchSize, Wait: wait}
	for _, change := range adjust {
		change(&config)
	}
	o, err := Open(config, r.deliver, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close(context.Background()) })
	return o
}

// abandon ends an outbox as the kill of its process would: nothing is written
// any more.
func abandon(o *Outbox) {
	o.kill()
	o.stopped.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sealed, o.active, o.closed = nil, nil, true
}

func add(t testing.TB, o *Outbox, from, count int) {
	t.Helper()
	for i := range count {
		if err := o.Add(fmt.Appendf(nil, "record %d", from+i)); err != nil {
			t.Fatal(err)
		}
	}
}

func checkOnce(t *testing.T, r *receiver, count int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range count {
		if n := r.seen[fmt.Sprintf("record %d", i)]; n != 1 {
			t.Fatalf("record %d was taken %d times", i, n)
		}
	}
	if len(r.seen) != count {
		t.Fatalf("%d records were taken, want %d", len(r.seen), count)
	}
}

func flush(t *testing.T, o *Outbox) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := o.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRecordsArriveInBatchesAndLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, dir := &receiver{}, filepath.Join(t.TempDir(), "a", "b")
		o := open(t, dir, r)
		add(t, o, 0, 3)
		time.Sleep(wait - time.Millisecond)
		synctest.Wait()
		if stats := o.Stats(); stats.Records != 3 || stats.Bytes != 3*int64(len("12345678 record 0\n")) || time.Since(stats.Oldest) != wait-time.Millisecond {
			t.Errorf("while they wait: %+v", stats)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if stats := o.Stats(); stats != (Stats{Delivered: 3}) || len(r.batches) != 1 || len(files(t, dir)) != 0 {
			t.Errorf("after the wait: %+v in %d batches, files %v", stats, len(r.batches), files(t, dir))
		}
		add(t, o, 3, 2*batchSize+1)
		synctest.Wait()
		if stats := o.Stats(); stats.Records != 1 || stats.Delivered != 3+2*batchSize {
			t.Errorf("full batches: %+v", stats)
		}
		flush(t, o)
		checkOnce(t, r, 4+2*batchSize)
		if b := r.batches[0]; b.Attempt != 1 || b.Again {
			t.Errorf("first batch %+v", b)
		}
	})
}

func TestAddedRecordsSurviveAKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "outbox")
	dead := &receiver{fail: down}
	o := open(t, dir, dead)
	add(t, o, 0, 2*batchSize+7)
	abandon(o)
	for _, file := range append(files(t, dir), dir) {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, %v", file, info.Mode(), err)
		}
	}
	if n, since, err := Waiting(dir); n != 2*batchSize+7 || time.Since(since) > time.Minute || err != nil {
		t.Errorf("%d records wait since %s, %v", n, since, err)
	}
	r := &receiver{}
	o = open(t, dir, r)
	flush(t, o)
	checkOnce(t, r, 2*batchSize+7)
	for _, empty := range []string{dir, filepath.Join(dir, "missing")} {
		if n, since, err := Waiting(empty); n != 0 || !since.IsZero() || err != nil {
			t.Errorf("%d records wait since %s in %s, %v", n, since, empty, err)
		}
	}
	for _, batch := range r.batches {
		if !batch.Again {
			t.Error("a batch of an earlier process does not say so")
		}
	}
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("files %v are left", left)
	}
}

func TestTornAndDamagedRecordsArePassedOver(t *testing.T) {
	dir := t.TempDir()
	o := open(t, dir, &receiver{fail: down})
	add(t, o, 0, 5)
	abandon(o)
	name := files(t, dir)[0]
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	lines[1][12] ^= 1                       // a bit of the text
	lines[3] = []byte("\x00\x00\x00\x00\n") // a block that was never written
	torn := bytes.Join(lines, nil)
	torn = append(torn, data[:10]...)
	if err := os.WriteFile(name, torn, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{"empty" + suffix: "", "00000000000000000007" + suffix: "", "notes.txt": "mine"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := &receiver{}
	o = open(t, dir, r)
	flush(t, o)
	if stats := o.Stats(); stats != (Stats{Delivered: 3, Damaged: 2}) {
		t.Errorf("stats %+v", stats)
	}
	if r.seen["record 0"]+r.seen["record 2"]+r.seen["record 4"] != 3 || len(r.seen) != 3 {
		t.Errorf("taken %v", r.seen)
	}
	if _, err := os.Stat(filepath.Join(dir, "notes.txt")); err != nil {
		t.Errorf("a file of somebody else is gone: %v", err)
	}
}

func TestAStoreThatIsAwayLosesNothingAndSlowsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{fail: down}
		o := open(t, t.TempDir(), r)
		start := time.Now()
		const count = 20 * batchSize
		for i := range count { // an hour
			add(t, o, i, 1)
			time.Sleep(time.Hour / count)
		}
		if took := time.Since(start); took != time.Hour {
			t.Errorf("adding took %v longer", took-time.Hour)
		}
		if n := len(files(t, o.config.Dir)); n > 20+maxRefused+2 {
			t.Errorf("%d files", n)
		}
		limited, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := o.Flush(limited); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("flush while down: %v", err)
		}
		r.become(nil)
		back := time.Now()
		flush(t, o)
		if took := time.Since(back); took > lastPause {
			t.Errorf("arrived %v after it was back", took)
		}
		checkOnce(t, r, count)
		if stats := o.Stats(); stats.Dropped != 0 || stats.Failures == 0 || stats.Records != 0 || stats.Bytes != 0 {
			t.Errorf("stats %+v", stats)
		}
	})
}

func TestAFullOutboxRefusesAndCounts(t *testing.T) {
	r := &receiver{fail: down}
	o := open(t, t.TempDir(), r, func(c *Config) { c.MaxBytes = 1000 })
	refused := 0
	for i := range 100 {
		if err := o.Add(fmt.Appendf(nil, "record %02d", i)); errors.Is(err, ErrFull) {
			refused++
		}
	}
	stats := o.Stats()
	if stats.Bytes > 1000 || stats.Records != int64(100-refused) || stats.Dropped != int64(refused) || refused < 40 {
		t.Errorf("%d refused, %+v", refused, stats)
	}
	for _, bad := range [][]byte{nil, []byte("two\nlines"), bytes.Repeat([]byte("x"), maxRecord+1)} {
		if err := o.Add(bad); !errors.Is(err, ErrRecord) {
			t.Errorf("%.10q: %v", bad, err)
		}
	}
	r.become(nil)
	flush(t, o)
	if err := o.Add([]byte("again")); err != nil {
		t.Errorf("there is room: %v", err)
	}
}

func TestARefusedBatchDoesNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{fail: func(b Batch) error {
			if bytes.HasSuffix(b.Records[0], []byte(" 0")) {
				return errDown
			}
			return nil
		}}
		o := open(t, t.TempDir(), r)
		add(t, o, 0, 3*batchSize)
		time.Sleep(time.Second)
		synctest.Wait()
		if stats := o.Stats(); stats.Delivered != 2*batchSize {
			t.Errorf("stats %+v", stats)
		}
		r.become(nil)
		flush(t, o)
		checkOnce(t, r, 3*batchSize)
		if last := r.batches[2]; last.Attempt < 3 || !last.Again || time.Since(last.Since) < time.Second {
			t.Errorf("%d attempts since %v", last.Attempt, last.Since)
		}
	})
}

func TestRecordsWaitInMemoryWhileNoFileCanBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, dir := &receiver{fail: down}, filepath.Join(t.TempDir(), "outbox")
		o := open(t, dir, r)
		add(t, o, 0, 2)
		o.mu.Lock()
		_ = o.active.file.Close() // from now on its writes fail
		o.mu.Unlock()
		away := dir + ".away"
		if err := os.Rename(dir, away); err != nil { // and no other file can be made
			t.Fatal(err)
		}
		add(t, o, 2, 3*batchSize)
		refused, large := 0, bytes.Repeat([]byte("x"), maxRecord)
		for range 2 * maxMemory / maxRecord {
			if o.Add(large) != nil {
				refused++
			}
		}
		if stats := o.Stats(); refused == 0 || stats.Dropped != int64(refused) {
			t.Errorf("memory is not bounded: %d refused, %+v", refused, stats)
		}
		if err := os.Rename(away, dir); err != nil {
			t.Fatal(err)
		}
		r.become(nil)
		time.Sleep(diskPause)
		flush(t, o)
		delete(r.seen, string(large))
		checkOnce(t, r, 2+3*batchSize)
		r.become(down)
		add(t, o, 0, 1)
		if len(files(t, dir)) != 1 {
			t.Error("files are not used again")
		}
	})
}

func TestAFullDiskLosesNoRecord(t *testing.T) {
	r, dir := &receiver{fail: down}, t.TempDir()
	o := open(t, dir, r)
	add(t, o, 0, 1)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = 50 // the third record is cut off in its middle
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	add(t, o, 1, 9)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := o.Close(t.Context()); err != nil { // memory goes into a file
		t.Fatal(err)
	}
	r = &receiver{}
	o = open(t, dir, r)
	flush(t, o)
	checkOnce(t, r, 10)
	if stats := o.Stats(); stats.Damaged != 0 {
		t.Errorf("a torn end counts as damage: %+v", stats)
	}
}

func TestCloseDeliversOrLeavesIt(t *testing.T) {
	for name, fail := range map[string]func(Batch) error{"the store answers": nil, "the store is away": down} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, dir := &receiver{fail: fail}, t.TempDir()
				o := open(t, dir, r)
				add(t, o, 0, 3*batchSize+3)
				start := time.Now()
				for range 2 {
					if err := o.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if took := time.Since(start); took > 0 {
					t.Errorf("took %v", took)
				}
				if err := o.Add([]byte("late")); !errors.Is(err, ErrClosed) {
					t.Errorf("after the end: %v", err)
				}
				if fail == nil {
					checkOnce(t, r, 3*batchSize+3)
				}
				next := &receiver{}
				o = open(t, dir, next)
				flush(t, o)
				if fail != nil {
					checkOnce(t, next, 3*batchSize+3)
				} else if len(next.seen) != 0 {
					t.Errorf("delivered again: %v", next.seen)
				}
			})
		})
	}
}

func TestCloseDoesNotWaitForAStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		o, err := Open(Config{Dir: dir, MaxBytes: 1 << 20, BatchSize: batchSize, Wait: wait}, func(ctx context.Context, _ Batch) error {
			<-ctx.Done()
			return ctx.Err()
		}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		add(t, o, 0, batchSize+1)
		synctest.Wait()
		start := time.Now()
		if err := o.Close(t.Context()); err != nil || time.Since(start) != closeTime {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		r := &receiver{}
		o = open(t, dir, r)
		flush(t, o)
		checkOnce(t, r, batchSize+1)
	})
}

func TestManyWritersLoseNothing(t *testing.T) {
	calls := 0
	r := &receiver{}
	r.fail = func(Batch) error {
		if calls++; calls%3 == 0 {
			return errDown
		}
		return nil
	}
	o := open(t, t.TempDir(), r)
	var group sync.WaitGroup
	for w := range 16 {
		group.Go(func() {
			for i := range 100 {
				add(t, o, w*100+i, 1)
				if i%25 == 0 {
					flush(t, o)
				}
			}
		})
	}
	group.Wait()
	flush(t, o)
	checkOnce(t, r, 1600)
}

func TestADirectoryThatCannotBeMadeIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(Config{Dir: filepath.Join(file, "outbox")}, (&receiver{}).deliver, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "outbox") || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// FuzzReadLines holds that the reader takes any bytes, finds every whole record
// and gives back only records that were written.
func FuzzReadLines(f *testing.F) {
	line, _ := appendLine(nil, []byte("a record"))
	f.Add(line, []byte("x"), uint(3))
	f.Add([]byte("00000000 \n\n\n"), []byte("\x00"), uint(0))
	f.Fuzz(func(t *testing.T, noise, record []byte, cut uint) {
		line, ok := appendLine(nil, record)
		if !ok {
			return
		}
		data := append(append(bytes.Clone(noise), '\n'), line...)
		data = append(data, line[:cut%uint(len(line))]...)
		records, damaged := readLines(data)
		if len(records) == 0 || !bytes.Equal(records[len(records)-1], record) {
			t.Fatalf("the record after %q is not found", noise)
		}
		if got, want := len(records)+damaged, bytes.Count(data, []byte{'\n'}); got != want {
			t.Fatalf("%d lines are accounted for, want %d", got, want)
		}
		for _, found := range records {
			if again, ok := appendLine(nil, found); !ok || !bytes.Contains(bytes.ToLower(data), again[:9]) {
				t.Fatalf("%q was not in the data", found)
			}
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	o := open(b, b.TempDir(), &receiver{}, func(c *Config) { c.BatchSize = 500; c.MaxBytes = 1 << 30 })
	record := bytes.Repeat([]byte("x"), 330)
	b.ReportAllocs()
	for b.Loop() {
		if err := o.Add(record); err != nil {
			b.Fatal(err)
		}
	}
}

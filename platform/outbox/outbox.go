// Package outbox is a bounded, durable queue of small records on their way to a
// store that may be away for a while. A record is in a file when Add returns,
// so that the end of the process loses none; it is on the disk at most
// Config.Wait later, so that a power cut loses no older one. Batches are given
// to a function until it takes them, and their files are removed.
//
// A batch is given again when the process ended before its file was removed: the
// receiver must count a record once, however often it comes.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Config says where records wait, and how many.
type Config struct {
	// Dir is the directory of the files. It is created, and belongs to one Outbox
	// of one process.
	Dir string
	// MaxBytes bounds the files.
	MaxBytes int64
	// BatchSize is how many records are given at once, and Wait how long the first
	// of them waits at most for the others, and for the disk.
	BatchSize int
	Wait      time.Duration
}

const (
	// maxRecord bounds one record.
	maxRecord = 64 << 10
	// maxMemory bounds the records that no file could take.
	maxMemory = 1 << 20
	// diskPause is for how long no file is tried after one could not be written.
	diskPause = time.Second
	// The pause after a failed delivery doubles from firstPause to lastPause.
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
	// maxRefused segments may wait before no other is closed until it is full, so
	// that a store that is away for long does not make many small files.
	maxRefused = 8
	// closeTime is how long Close waits for a receiver that does not answer.
	closeTime = 5 * time.Second
	// complainEvery bounds how often losses are logged.
	complainEvery = time.Minute
)

// Batch is what is delivered at once.
type Batch struct {
	Records [][]byte // in the order of Add; never empty
	Attempt int      // from 1
	// Again says that the records may have been taken before: by an earlier
	// attempt, or on behalf of an earlier process.
	Again bool
	// Since is when the first attempt of this process began.
	Since time.Time
}

// Deliver takes a batch. After an error it is given the batch again, others
// possibly first.
type Deliver func(ctx context.Context, batch Batch) error

// The reasons for which Add refuses a record.
var (
	ErrFull   = errors.New("the outbox is full")
	ErrClosed = errors.New("the outbox is closed")
	ErrRecord = fmt.Errorf("a record must have 1 to %d bytes and no line feed", maxRecord)
)

// Stats says how full an Outbox is and what became of the records of this
// process and those it found.
type Stats struct {
	Records   int64     // waiting
	Bytes     int64     // of files and memory that they take
	Oldest    time.Time // since when the oldest has waited; zero when none does
	Delivered int64
	Dropped   int64 // refused by Add, or lost with memory or an unreadable file
	Damaged   int64 // lines that were no records, and were passed over
	Failures  int64 // attempts to deliver that failed
}

// Outbox is an open queue with its two goroutines: one delivers, the other
// writes to the disk what has waited for Config.Wait.
type Outbox struct {
	config  Config
	deliver Deliver
	logger  *slog.Logger

	mu       sync.Mutex
	active   *segment   // takes records; nil = none does
	sealed   []*segment // wait for delivery
	lastID   int64
	memory   int64 // bytes of the segments in memory
	stats    Stats // but for Oldest
	line     []byte
	urgent   bool // somebody waits for the active segment to be delivered
	closed   bool
	retryAt  time.Time // when a file may be tried again
	quietTil time.Time // until when losses are not logged
	changed  chan struct{}

	wake    chan struct{} // the deliverer has something to look at
	dirty   chan struct{} // the syncer has
	life    context.Context
	kill    context.CancelFunc
	stopped sync.WaitGroup
}

// Open opens the queue in config.Dir and goes on with what is there. A damaged
// file is no error: what is whole in it is delivered, and the rest counted.
func Open(config Config, deliver Deliver, logger *slog.Logger) (*Outbox, error) {
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("outbox %s cannot be created: %w", config.Dir, reason(err))
	}
	found, err := findSegments(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("outbox %s cannot be read: %w", config.Dir, reason(err))
	}
	o := &Outbox{
		config: config, deliver: deliver, logger: logger, sealed: found,
		changed: make(chan struct{}), wake: make(chan struct{}, 1), dirty: make(chan struct{}, 1),
	}
	for _, s := range found {
		o.lastID = s.id
		o.stats.Records += int64(s.records)
		o.stats.Bytes += s.bytes
	}
	o.life, o.kill = context.WithCancel(context.Background())
	o.stopped.Go(o.runDelivery)
	o.stopped.Go(o.runSync)
	return o, nil
}

// Waiting returns how many records wait in the files of dir, which need not be
// there, and since when the oldest does. A process may be at work on them.
func Waiting(dir string) (records int, since time.Time, err error) {
	found, err := findSegments(dir)
	if errors.Is(err, fs.ErrNotExist) { // or its process is delivering
		return 0, time.Time{}, nil
	}
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("outbox %s cannot be read: %w", dir, reason(err))
	}
	for _, s := range found {
		records += s.records
		if s.records > 0 && since.IsZero() {
			since = s.began
		}
	}
	return records, since, nil
}

// Add takes a record. When it returns nil, the record is in a file, or in memory
// while none can be written. It never waits for a delivery. It does not keep
// record.
func (o *Outbox) Add(record []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.add(record)
	if err != nil {
		o.lose(1, err)
	}
	return err
}

func (o *Outbox) add(record []byte) error {
	if o.closed {
		return ErrClosed
	}
	line, ok := appendLine(o.line[:0], record)
	if !ok {
		return ErrRecord
	}
	o.line = line
	if o.stats.Bytes+int64(len(line)) > o.config.MaxBytes {
		return ErrFull
	}
	if o.active == nil {
		o.begin()
	}
	if o.active.file != nil && !o.active.write(line) {
		o.retryAt = time.Now().Add(diskPause)
		o.seal()
		o.begin()
	}
	if o.active.file == nil {
		if o.memory+int64(len(line)) > maxMemory {
			return ErrFull
		}
		o.active.keep(record, len(line))
		o.memory += int64(len(line))
	}
	o.stats.Records++
	o.stats.Bytes += int64(len(line))
	if o.active.clean {
		o.active.clean = false
		signal(o.dirty)
	}
	if o.active.records >= o.config.BatchSize {
		o.seal()
		signal(o.wake)
	}
	return nil
}

// begin makes the next segment the active one: a file, or memory while none can
// be made.
func (o *Outbox) begin() {
	now := time.Now()
	o.lastID = max(o.lastID+1, now.UnixMicro())
	o.active = &segment{id: o.lastID, began: now, clean: true}
	if now.Before(o.retryAt) {
		return
	}
	if err := o.active.create(o.config.Dir); err != nil {
		o.retryAt = now.Add(diskPause)
		o.complain("the outbox cannot write its files; records wait in memory", "dir", o.config.Dir, "cause", reason(err).Error())
	}
}

// seal makes the active segment one of those that wait for delivery.
func (o *Outbox) seal() {
	if o.active == nil {
		return
	}
	if o.active.records > 0 {
		o.sealed = append(o.sealed, o.active)
	} else {
		o.active.discard()
	}
	o.active = nil
}

// lose counts records that are lost.
func (o *Outbox) lose(records int64, cause error) {
	o.stats.Dropped += records
	o.complain("records are lost", "cause", cause.Error(), "lost_so_far", o.stats.Dropped)
}

// complain logs, but not too often.
func (o *Outbox) complain(message string, details ...any) {
	if now := time.Now(); now.After(o.quietTil) {
		o.quietTil = now.Add(complainEvery)
		o.logger.Warn(message, details...)
	}
}

// Stats returns how things are.
func (o *Outbox) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	stats := o.stats
	for _, s := range o.live() {
		if stats.Oldest.IsZero() || s.began.Before(stats.Oldest) {
			stats.Oldest = s.began
		}
	}
	return stats
}

// live returns every segment with records.
func (o *Outbox) live() []*segment {
	if o.active == nil || o.active.records == 0 {
		return o.sealed
	}
	return append(o.sealed[:len(o.sealed):len(o.sealed)], o.active)
}

// Flush returns when every record that was added before is delivered or lost,
// or with the error of ctx when that ends first.
func (o *Outbox) Flush(ctx context.Context) error {
	o.mu.Lock()
	last := o.lastID
	o.mu.Unlock()
	for {
		o.mu.Lock()
		waiting := o.waiting(last)
		changed := o.changed
		if waiting {
			o.urgent = true
		}
		o.mu.Unlock()
		if !waiting {
			return nil
		}
		signal(o.wake)
		select {
		case <-changed:
		case <-o.life.Done():
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (o *Outbox) waiting(last int64) bool {
	for _, s := range o.live() {
		if s.id <= last {
			return true
		}
	}
	return false
}

// Close delivers what waits, unless the receiver fails or takes long, and ends
// the goroutines. What is left in files is delivered by the next process; the
// error says how much was lost because no file could take it. Close may be
// called more than once.
func (o *Outbox) Close(ctx context.Context) error {
	o.mu.Lock()
	before := o.stats.Dropped
	o.closed = true
	o.mu.Unlock()
	signal(o.wake)
	bounded, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	defer context.AfterFunc(bounded, o.kill)()
	o.stopped.Wait()
	o.kill()

	o.mu.Lock()
	defer o.mu.Unlock()
	o.retryAt = time.Time{}
	o.seal()
	for _, s := range o.sealed {
		if err := s.park(o.config.Dir); err != nil {
			o.lose(int64(s.records), err)
		}
	}
	o.sealed = nil
	if err := syncDir(o.config.Dir); err != nil && before == o.stats.Dropped {
		return fmt.Errorf("sync the outbox: %w", reason(err))
	}
	if lost := o.stats.Dropped - before; lost > 0 {
		return fmt.Errorf("%d records of the outbox %s are lost: its files cannot be written", lost, o.config.Dir)
	}
	return nil
}

// signal wakes a goroutine that looks at everything when it wakes.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Package jobs does periodic work once over all processes that share a database.
// River keeps the jobs in tables of that database: one process is elected, puts
// each job in the queue when its time comes, and whichever fetches it first does
// it.
package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"

	"llmhist/platform/database"
)

const (
	// pollEvery is how often a process looks for jobs that another put in the
	// queue, and so how late a job may begin.
	pollEvery = 5 * time.Second
	// stopTime is how long the jobs under way have to notice that they must end.
	stopTime = 10 * time.Second
	// keepFailed is how long a failed job can be looked up in the database.
	keepFailed = 24 * time.Hour
)

// Job is periodic work. Its Run ends when ctx does and can be repeated: a process
// may die in the middle of it, and the next period is the only retry.
type Job struct {
	Name    string
	Every   time.Duration // it begins at whole multiples of this in UTC
	Timeout time.Duration // of one run; shorter than Every, so that no two runs overlap
	Run     func(ctx context.Context) error
}

// Runner does jobs together with the runners of other processes.
type Runner struct {
	client *river.Client[*sql.Tx]
	logger *slog.Logger
	retry  time.Duration // between attempts to start
}

// New returns a runner of the jobs in list on db, whose migrations made the
// tables. All processes have the same list.
func New(db *database.DB, logger *slog.Logger, list []Job) (*Runner, error) {
	work := worker{jobs: map[string]Job{}}
	config := river.Config{
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: len(list)}},
		Workers:           river.NewWorkers(),
		PollOnly:          true, // LISTEN would hold a connection of the pool
		FetchPollInterval: pollEvery,
		MaxAttempts:       1,
		ErrorHandler:      reporter{logger},
		Logger:            slog.New(slog.DiscardHandler), // what it has to say about jobs, reporter says
		ReindexerSchedule: river.NeverSchedule(),
	}
	var longest time.Duration
	for _, job := range list {
		if job.Timeout <= 0 || job.Timeout >= job.Every || work.jobs[job.Name].Run != nil {
			return nil, fmt.Errorf("jobs: %q needs a name of its own and a timeout shorter than its period", job.Name)
		}
		work.jobs[job.Name] = job
		config.PeriodicJobs = append(config.PeriodicJobs, periodic(job))
		longest = max(longest, job.Every)
	}
	// Done jobs stay for longer than their period: they are what tells another
	// elected process that the job was done.
	config.CompletedJobRetentionPeriod = longest + time.Hour
	config.CancelledJobRetentionPeriod, config.DiscardedJobRetentionPeriod = longest+time.Hour, keepFailed
	config.JobTimeout, config.RescueStuckJobsAfter = longest, longest+time.Minute
	river.AddWorker(config.Workers, &work)
	client, err := river.NewClient(driver(db), &config)
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return &Runner{client: client, logger: logger, retry: pollEvery}, nil
}

func driver(db *database.DB) riverdriver.Driver[*sql.Tx] {
	if db.Dialect() == database.SQLite {
		return alone{riversqlite.New(db.Handle())}
	}
	return riverdatabasesql.New(db.Handle())
}

// Run does jobs until ctx ends, whatever becomes of the database meanwhile, and
// returns when none is under way any more.
func (r *Runner) Run(ctx context.Context) {
	if !r.start(ctx) {
		return
	}
	<-ctx.Done()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := r.client.StopAndCancel(stopping); err != nil {
		r.logger.WarnContext(ctx, "background jobs did not end in time", "cause", err)
	}
}

// start starts the client, which needs the database once, and reports whether it
// could before ctx ended.
func (r *Runner) start(ctx context.Context) bool {
	for failed := false; ctx.Err() == nil; failed = true {
		err := r.client.Start(context.WithoutCancel(ctx))
		if err == nil {
			return true
		}
		if !failed {
			r.logger.WarnContext(ctx, "background jobs wait for the database", "cause", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(r.retry):
		}
	}
	return false
}

// periodic puts the job in the queue once in each of its periods, whoever is
// elected.
func periodic(job Job) *river.PeriodicJob {
	insert := func() (river.JobArgs, *river.InsertOpts) {
		return task{Name: job.Name}, &river.InsertOpts{
			ScheduledAt: time.Now().Truncate(job.Every), // what lies ahead would wait for River to look again
			UniqueOpts:  river.UniqueOpts{ByArgs: true, ByPeriod: job.Every},
		}
	}
	return river.NewPeriodicJob(aligned(job.Every), insert, nil)
}

// aligned is a schedule of whole multiples of a duration, so that every process
// means the same periods. Those that passed while nobody ran are not caught up.
type aligned time.Duration

// early is by how much River may be early for a time.
const early = 250 * time.Millisecond

// Next returns a moment right after the first multiple after t, or after now
// when t has passed.
func (a aligned) Next(t time.Time) time.Time {
	if now := time.Now(); now.After(t) {
		t = now
	}
	return t.Truncate(time.Duration(a)).Add(time.Duration(a) + early)
}

// task is what the queue keeps of a job.
type task struct {
	Name string `json:"name"`
}

// Kind names all of our jobs to River.
func (task) Kind() string { return "periodic" }

type worker struct {
	river.WorkerDefaults[task]
	jobs map[string]Job
}

// Work does one job.
func (w *worker) Work(ctx context.Context, job *river.Job[task]) error {
	known, ok := w.jobs[job.Args.Name]
	if !ok { // of another release that serves the same database
		return errors.New("this release does not know the job")
	}
	return known.Run(ctx)
}

// Timeout bounds one run of a job.
func (w *worker) Timeout(job *river.Job[task]) time.Duration { return w.jobs[job.Args.Name].Timeout }

package outbound

import "time"

// Limits bound one provider's calls. A zero field means its default.
type Limits struct {
	Connect   time.Duration `mapstructure:"connect"`    // TCP and TLS; default 5 s
	FirstByte time.Duration `mapstructure:"first_byte"` // request sent → response headers; default 60 s
	Idle      time.Duration `mapstructure:"idle"`       // between two reads of the body; default 60 s
	Total     time.Duration `mapstructure:"total"`      // the whole exchange with its retries, without the wait for a place; default 5 min
	MaxBytes  int64         `mapstructure:"max_bytes"`  // of the response body; default 32 MiB

	Policy `mapstructure:",squash"`
}

// Timeouts are the times of Limits where an operator sets them apart. A zero
// field sets nothing.
type Timeouts struct {
	Connect   time.Duration `mapstructure:"connect"`
	FirstByte time.Duration `mapstructure:"first_byte"`
	Idle      time.Duration `mapstructure:"idle"`
	Total     time.Duration `mapstructure:"total"`
}

// With returns the limits with the times that are set in t.
func (l Limits) With(t Timeouts) Limits {
	set := func(d *time.Duration, wanted time.Duration) {
		if wanted > 0 {
			*d = wanted
		}
	}
	set(&l.Connect, t.Connect)
	set(&l.FirstByte, t.FirstByte)
	set(&l.Idle, t.Idle)
	set(&l.Total, t.Total)
	return l
}

// Policy says how often a provider is asked for one answer, and by how many
// calls at once. A zero field means its default, a negative one none.
type Policy struct {
	// Retries is how often a call is repeated after a failure that may pass;
	// default 2.
	Retries int `mapstructure:"retries"`
	// MaxRetryAfter is the longest Retry-After that is waited for; default 10 s.
	// A longer one is left to the caller.
	MaxRetryAfter time.Duration `mapstructure:"max_retry_after"`
	// Concurrency is how many calls are under way at once, each until its body
	// is closed; default 10,000. It is never unlimited: a negative value means
	// the default too.
	Concurrency int `mapstructure:"concurrency"`
	// QueueWait is how long a call waits for its place; default 5 s.
	QueueWait time.Duration `mapstructure:"queue_wait"`
	// QueueLength is how many calls wait at once; default 1,000.
	QueueLength int `mapstructure:"queue_length"`
}

func (l Limits) withDefaults() Limits {
	set := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	set(&l.Connect, 5*time.Second)
	set(&l.FirstByte, time.Minute)
	set(&l.Idle, time.Minute)
	set(&l.Total, 5*time.Minute)
	if l.MaxBytes <= 0 {
		l.MaxBytes = 32 << 20
	}
	l.Policy = l.Policy.withDefaults()
	return l
}

func (p Policy) withDefaults() Policy {
	p.Retries = orStandard(p.Retries, 2)
	p.MaxRetryAfter = orStandard(p.MaxRetryAfter, 10*time.Second)
	p.QueueWait = orStandard(p.QueueWait, 5*time.Second)
	p.QueueLength = orStandard(p.QueueLength, 1000)
	if p.Concurrency <= 0 {
		p.Concurrency = 10_000
	}
	return p
}

// orStandard returns the standard for zero, and zero for a negative value.
func orStandard[N int | time.Duration](value, standard N) N {
	if value == 0 {
		return standard
	}
	return max(value, 0)
}

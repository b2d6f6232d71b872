package speech

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"time"

	"llmhist/platform/audio"
	"llmhist/platform/blob"
	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
)

// wavSound returns d of silence.
func wavSound(t testing.TB, d time.Duration) []byte {
	t.Helper()
	const rate = 16000
	sound, err := audio.EncodeWAV(make([]byte, 2*int(d.Seconds()*rate)), rate, 1)
	if err != nil {
		t.Fatal(err)
	}
	return sound
}

// mp3Frames returns n frames of 24 ms: MPEG-2 layer III, 24 kHz, mono, 64 kbit/s.
func mp3Frames(n int) []byte {
	frame := append([]byte{0xff, 0xf3, 0x84, 0xc4}, make([]byte, 188)...)
	return bytes.Repeat(frame, n)
}

// fake is a provider whose behaviour a test decides.
type fake struct {
	label string
	list  []model
	calls atomic.Int64
	serve func(ctx context.Context, u utterance) (recording, error)
}

// newFake returns a provider with one model, label/one, that speaks English
// and Spanish as WAV.
func newFake(t testing.TB, label string) *fake {
	sound := wavSound(t, 1500*time.Millisecond)
	f := &fake{label: label}
	f.serve = func(context.Context, utterance) (recording, error) { return recording{sound: sound, status: 200}, nil }
	f.list = []model{{
		id: label + "/one", aliases: []string{label}, provider: f, formats: []audio.Format{audio.WAV},
		voices:  []voice{{id: "ann", name: "Ann", language: "en-US", gender: "female"}, {id: "bea", name: "Bea", language: "es"}},
		longest: MaxCharacters, slowest: 0.5, fastest: 2, languages: []string{"en", "es"},
		match: func(language string) (string, string, bool) {
			standard := map[string]string{"en": "ann", "es": "bea"}[primary(language)]
			return language, standard, standard != ""
		},
	}}
	return f
}

func (f *fake) name() string                   { return f.label }
func (f *fake) models(context.Context) []model { return f.list }
func (f *fake) speak(ctx context.Context, u utterance) (recording, error) {
	f.calls.Add(1)
	return f.serve(ctx, u)
}

// failing makes the provider fail with err.
func (f *fake) failing(err error) *fake {
	f.serve = func(context.Context, utterance) (recording, error) { return recording{}, err }
	return f
}

func outage(provider string) error {
	return fault.New(fault.Unavailable, "provider_unavailable", "down").With("provider", provider)
}

// bench is a module over real storage with providers of a test.
type bench struct {
	*Module
	clock  *testkit.Clock
	db     *database.DB
	bucket *blob.Directory
}

func newBench(t testing.TB, providers ...provider) *bench {
	t.Helper()
	return newBenchOn(t, testkit.SQLite(t), providers...)
}

func newBenchOn(t testing.TB, db *database.DB, providers ...provider) *bench {
	t.Helper()
	b := &bench{clock: testkit.NewClock(), db: db, bucket: testkit.Bucket(t, "speech-test")}
	convert := &transcoder{programs: newPrograms()} // nothing installed
	b.Module = newModule(&catalog{order: providers, all: providers, convertible: convert.can}, convert, b.deps(b.bucket))
	return b
}

func (b *bench) deps(bucket blob.Bucket) Deps {
	return Deps{DB: b.db, Bucket: bucket, Logger: testkit.Logger(), Now: b.clock.Now, NewID: uid.New}
}

// objects lists every key in the bucket.
func (b *bench) objects(t testing.TB) []string {
	t.Helper()
	list, err := b.bucket.List(context.Background(), "", "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{}
	for _, object := range list {
		keys = append(keys, object.Key)
	}
	return keys
}

// rows lists every conversion.
func (b *bench) rows(t testing.TB) []Conversion {
	t.Helper()
	list, _, err := b.service.repository.List(context.Background(), Filter{Everyone: true}, 1000, 0)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// mustBeEmpty fails when anything was stored.
func (b *bench) mustBeEmpty(t testing.TB) {
	t.Helper()
	if keys, rows := b.objects(t), b.rows(t); len(keys) > 0 || len(rows) > 0 {
		t.Errorf("stored %v and %d rows", keys, len(rows))
	}
}

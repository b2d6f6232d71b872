package speech

import (
	"math"
	"net/http"
	"testing"

	"llmhist/platform/usage"
)

func TestSpeechCostsWhatItsCharactersDo(t *testing.T) {
	upstream := newTestOpenAI(t, func(u *Upstream) { u.Prices = []Price{{Model: "tts", Characters: 15}, {Characters: 30}} },
		func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(mp3Frames(10)) })
	for name, test := range map[string]struct {
		model string
		want  float64 // for four characters
	}{"a price of its own": {"server/tts", 60e-6}, "the price of all": {"server/deep/voice", 120e-6}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, upstream)
			ctx, record := usage.Begin(as(t, 7))
			r := ask("Grüß")
			r.Model = test.model
			made, err := b.service.Generate(ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			kept := b.rows(t)[0].CostUSD
			for _, got := range []float64{record.Figures().CostUSD, made.CostUSD, kept} {
				if math.Abs(got-test.want) > 1e-12 {
					t.Errorf("it costs %v, want %v", got, test.want)
				}
			}
		})
	}
}

func TestWhatFailsCostsNothingAndAFallbackItsOwnPrice(t *testing.T) {
	for name, test := range map[string]struct {
		second bool
		want   float64
	}{"both fail": {false, 0}, "the second speaks": {true, 7e-6}} {
		t.Run(name, func(t *testing.T) {
			first, second := newFake(t, "first").failing(outage("first")), newFake(t, "second")
			first.list[0].price, second.list[0].price = 500, 7
			if !test.second {
				second.failing(outage("second"))
			}
			b := newBench(t, first, second)
			ctx, record := usage.Begin(as(t, 7))
			_, err := b.service.Generate(ctx, ask("x"))
			if got := record.Figures().CostUSD; math.Abs(got-test.want) > 1e-12 || (err == nil) != test.second {
				t.Errorf("it costs %v: %v", got, err)
			}
			if row := b.rows(t)[0]; math.Abs(row.CostUSD-test.want) > 1e-12 {
				t.Errorf("%+v", row)
			}
		})
	}
}

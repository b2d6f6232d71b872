package image

import (
	"testing"

	"llmhist/platform/identity"
	"llmhist/platform/usage"
)

func TestAPictureCostsWhatItsModelAndSizeDo(t *testing.T) {
	u := serveUpstream(t, answerJSON(200, `{"data":[{"b64_json":"`+encoded(pngBytes(t))+`"}]}`))
	config := u.as(typeOpenAI)
	config.Upstreams[0].Prices = []Price{{Model: "m-1", Image: 0.04}, {Model: "m-1", Size: "128x64", Image: 0.5}}
	f := start(t, config)
	for name, c := range map[string]struct {
		params Params
		count  int
		want   float64
	}{
		"a size without a price of its own": {Params{Size: "64x64"}, 1, 0.04},
		"a size with one":                   {Params{Size: "128x64"}, 1, 0.5},
		"a model without a price":           {Params{Size: "64x64", Model: "m-2"}, 1, 0},
		"several pictures":                  {Params{Size: "128x64"}, 3, 1.5},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, record := usage.Begin(identity.With(t.Context(), identity.Identity{UserID: 1}))
			c.params.Prompt = "x"
			images, err := f.module.service.GenerateSeveral(ctx, c.params, c.count)
			if err != nil {
				t.Fatal(err)
			}
			if got, kept := record.Figures().CostUSD, f.record(images[0].ID).CostUSD; got != c.want || kept*float64(c.count) != c.want {
				t.Errorf("it costs %v, and %v in the record", got, kept)
			}
		})
	}
}

func TestWhatFailsCostsNothingAndAFallbackItsOwnPrice(t *testing.T) {
	down := serveUpstream(t, answerJSON(401, ""))
	up := serveUpstream(t, answerJSON(200, `{"data":[{"b64_json":"`+encoded(pngBytes(t))+`"}]}`))
	for name, c := range map[string]struct {
		second *upstream
		broken string
		want   float64
	}{
		"both fail":                    {down, "", 0},
		"the second makes it":          {up, "", 0.2},
		"made but not stored is of no": {up, "original.png", 0},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := down.as(typeOpenAI).Upstreams[0], c.second.as(typeOpenAI).Upstreams[0]
			first.Name, first.Prices = "one", []Price{{Model: "m-1", Image: 9}}
			second.Name, second.Prices = "two", []Price{{Model: "m-1", Image: 0.2}}
			f := start(t, Config{Providers: []string{"one", "two"}, Upstreams: []Upstream{first, second}})
			f.bucket.breakAt(c.broken)
			ctx, record := usage.Begin(identity.With(t.Context(), identity.Identity{UserID: 1}))
			_, err := f.module.service.Generate(ctx, Params{Prompt: "x", Size: "64x64"})
			f.bucket.breakAt("")
			if got := record.Figures(); got.CostUSD != c.want || (err == nil) != (c.want > 0) {
				t.Errorf("it costs %v: %v", got.CostUSD, err)
			}
		})
	}
}

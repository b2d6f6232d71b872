package image

import (
	"fmt"
	"strings"
	"testing"

	"llmhist/platform/outbound"
	"llmhist/platform/testkit"
)

func TestWhoServesByDefault(t *testing.T) {
	up := Upstream{Name: "mine", BaseURL: "http://127.0.0.1:1/v1/", Models: []string{"b", "a", "b"}, DefaultModel: "a"}
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"nothing set is local":           {Config{}, "local:local/canvas"},
		"an address without a key":       {Config{Pollinations: Pollinations{APIURL: "https://example.com"}}, "local:local/canvas"},
		"a key":                          {Config{Pollinations: Pollinations{APIKey: testKey, Models: []string{"x", "y"}}}, "pollinations:x,y"},
		"an upstream":                    {Config{Upstreams: []Upstream{up}}, "mine:a,b"},
		"a key and an upstream":          {Config{Pollinations: Pollinations{APIKey: testKey}, Upstreams: []Upstream{up}}, "pollinations:flux mine:a,b"},
		"an order":                       {Config{Providers: []string{"local", "mine"}, Upstreams: []Upstream{up}}, "local:local/canvas mine:a,b"},
		"an order leaves out the others": {Config{Providers: []string{"local"}, Upstreams: []Upstream{up}}, "local:local/canvas"},
	} {
		t.Run(name, func(t *testing.T) {
			module, err := New(c.config, Deps{DB: testkit.SQLite(t), Bucket: testkit.Bucket(t, "b"), Logger: testkit.Logger()})
			if err != nil {
				t.Fatal(err)
			}
			defer module.Close()
			got := []string{}
			for _, status := range module.Describe() {
				got = append(got, status.Name+":"+strings.Join(status.Models, ","))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}

func TestAWrongConfigurationIsNamed(t *testing.T) {
	good := Upstream{Name: "mine", BaseURL: "https://example.com/v1", DefaultModel: "m"}
	with := func(change func(*Upstream)) Config {
		u := good
		u.APIKey = testKey
		change(&u)
		return Config{Upstreams: []Upstream{u}}
	}
	for want, config := range map[string]Config{
		`IMAGE_PROVIDERS names "dalle"`:     {Providers: []string{"local", "dalle"}},
		`IMAGE_PROVIDERS names "local" twi`: {Providers: []string{"local", "local"}},
		`the name "local" is taken`:         with(func(u *Upstream) { u.Name = "local" }),
		`the name "pollinations" is taken`:  with(func(u *Upstream) { u.Name = "pollinations" }),
		`the name "mine" is taken`:          {Upstreams: []Upstream{good, good}},
		`the name must be`:                  with(func(u *Upstream) { u.Name = "My Server" }),
		`"mine": api_key must be user`:      with(func(u *Upstream) { u.Type = typeA1111 }),
		`size_step must be a multiple of 8`: with(func(u *Upstream) { u.Type, u.APIKey, u.SizeStep = typeA1111, "", 12 }),
		`steps is a setting of`:             with(func(u *Upstream) { u.Steps = 20 }),
		`the type must be`:                  with(func(u *Upstream) { u.Type = "comfy" }),
		`"mine": base_url must be`:          with(func(u *Upstream) { u.BaseURL = "example.com" }),
		`base_url must be`:                  with(func(u *Upstream) { u.BaseURL = "https://user:" + testKey + "@example.com" }),
		`"pollinations": base_url must be`:  {Pollinations: Pollinations{APIURL: "ftp://example.com"}},
		`name at least one model`:           with(func(u *Upstream) { u.DefaultModel = "" }),
		`sizes: "huge"`:                     with(func(u *Upstream) { u.Sizes = []string{"huge"} }),
		`"mine": headers: the value`:        with(func(u *Upstream) { u.Headers = outbound.Headers{"X-Key": testKey + "\n"} }),
		`prices: "other" is not`:            with(func(u *Upstream) { u.Prices = []Price{{Model: "other", Image: 1}} }),
		`prices: image must be a number`:    with(func(u *Upstream) { u.Prices = []Price{{Model: "m", Image: -1}} }),
		`prices: size "huge"`:               with(func(u *Upstream) { u.Prices = []Price{{Model: "m", Size: "huge"}} }),
		`image.aliases: each alias`:         {Aliases: []Alias{{Name: "best"}}},
		`"best" names the model "dalle"`:    {Aliases: []Alias{{Name: "best", Models: []string{"dalle"}}}},
		`the name "local/canvas" is taken`:  {Aliases: []Alias{{Name: localModel, Models: []string{localModel}}}},
		`the name "best" is taken`:          {Aliases: []Alias{{Name: "best", Models: []string{localModel}}, {Name: "best", Models: []string{localModel}}}},
		`size_step must not`:                with(func(u *Upstream) { u.SizeStep = -1 }),
	} {
		_, err := New(config, Deps{DB: testkit.SQLite(t), Bucket: testkit.Bucket(t, "b"), Logger: testkit.Logger()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s, got %v", want, err)
		}
		if strings.Contains(fmt.Sprint(err), testKey) {
			t.Errorf("a secret is shown: %v", err)
		}
	}
	if _, err := New(Config{}, Deps{}); err == nil {
		t.Error("a module without a database was built")
	}
}

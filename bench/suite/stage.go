package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"llmhist/bench/load"
	"llmhist/bench/rig"
)

// stage holds the processes of a measurement and who signs in to them.
type stage struct {
	options  options
	dir      string
	server   *rig.Child
	upstream *rig.Child
	baseline *rig.Child

	baselineToken string
	admin, user   rig.Account
	visitor       rig.Account // signs in again and again, which ends the oldest of its many sessions
	chains        []*refreshChain
}

// openStage starts the upstream and the yardstick. Close the stage, also after
// an error.
func openStage(ctx context.Context, o options, dir string) (*stage, error) {
	s := &stage{options: o, dir: dir}
	var err error
	if s.options.binary, err = rig.CopyBinary(o.binary, dir); err != nil {
		return s, err
	}
	if s.upstream, err = rig.StartTool(ctx, dir, filepath.Join(o.tools, "fakeupstream")); err != nil {
		return s, err
	}
	base := strings.TrimSpace(s.upstream.First)
	if s.upstream.Address, err = hostOf(base); err != nil {
		return s, err
	}
	if s.baseline, err = rig.StartTool(ctx, dir, filepath.Join(o.tools, "baseline"), "-upstream", base); err != nil {
		return s, err
	}
	var said struct{ Address, Token string }
	if err := json.Unmarshal([]byte(s.baseline.First), &said); err != nil {
		return s, fmt.Errorf("the yardstick said %q: %w", s.baseline.First, err)
	}
	s.baselineToken = said.Token
	s.baseline.Address, err = hostOf(said.Address)
	return s, err
}

func hostOf(address string) (string, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	return parsed.Host, nil
}

func (s *stage) close() {
	s.server.Stop()
	s.baseline.Stop()
	s.upstream.Stop()
}

// serverOn returns the server with its settings, on a data directory.
func (s *stage) serverOn(data string) rig.Server {
	env := []string{
		"HOST=127.0.0.1", "DATA_DIR=" + data, "LOG_LEVEL=warn", "LOG_FORMAT=json", "JWT_EXPIRES_IN=2h",
		"CHAT_PROVIDERS=openai,local", "OPENAI_API_KEY=x", "OPENAI_DEFAULT_MODEL=demo-1",
		"OPENAI_BASE_URL=http://" + s.upstream.Address + "/v1",
	}
	env = append(env, rig.WithoutLimits()...)
	env = append(env, "RATE_LIMITS_CHAT_MESSAGE=1000000/sec") // counted, and not reached
	return rig.Server{Binary: s.options.binary, Dir: s.dir, Env: env}
}

// configFile writes what has no environment variable and returns the path.
func (s *stage) configFile() (string, error) {
	path := filepath.Join(s.dir, "bench.yaml")
	text := fmt.Sprintf(`image:
  providers: [fake, local]
  upstreams:
    - name: fake
      type: openai
      base_url: http://%s/v1
      models: [demo-image]
`, s.upstream.Address)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// starts is how long the server took until it was ready, and what it weighs.
type starts struct {
	cold, warm        []time.Duration
	rssStart, rssIdle int64
	binaryBytes       int64
}

// measureStarts starts the server on fresh data directories, then again and
// again on the last of them, and leaves the last one running.
func (s *stage) measureStarts(ctx context.Context) (starts, error) {
	var result starts
	info, err := os.Stat(s.options.binary)
	if err != nil {
		return result, err
	}
	result.binaryBytes = info.Size()
	file, err := s.configFile()
	if err != nil {
		return result, err
	}
	data := ""
	for i := range 2 * s.options.starts {
		if i < s.options.starts {
			data = filepath.Join(s.dir, fmt.Sprintf("data%d", i))
		}
		s.server.Stop()
		server, took, err := s.serverOn(data).Start(ctx, "--config", file)
		if err != nil {
			return result, err
		}
		s.server = server
		if i < s.options.starts {
			result.cold = append(result.cold, took)
		} else {
			result.warm = append(result.warm, took)
		}
	}
	if result.rssStart, err = load.RSS(s.server.PID()); err != nil {
		return result, err
	}
	say("started %d times; now idle for %s", 2*s.options.starts, s.options.idle)
	time.Sleep(s.options.idle)
	if result.rssIdle, err = load.RSS(s.server.PID()); err != nil {
		return result, fmt.Errorf("the idle server: %w: %s", err, s.server.LastWords())
	}
	return result, nil
}

// dataDir returns the data directory of the running server.
func (s *stage) dataDir() string {
	return filepath.Join(s.dir, fmt.Sprintf("data%d", s.options.starts-1))
}

// prepare makes an admin and a user, signs both in, and fills the table of
// images. It returns how many images there are and how long that took.
func (s *stage) prepare(ctx context.Context) (seeded, error) {
	s.admin = rig.Account{Email: "admin@example.org", Password: "correct horse battery staple"}
	s.user = rig.Account{Email: "user@example.org", Password: "correct horse battery staple"}
	s.visitor = rig.Account{Email: "visitor@example.org", Password: s.user.Password}
	if err := s.serverOn(s.dataDir()).CreateAdmin(ctx, s.admin); err != nil {
		return seeded{}, err
	}
	api := rig.API{Base: "http://" + s.server.Address}
	for _, a := range []rig.Account{s.user, s.visitor} {
		if err := api.Register(ctx, a); err != nil {
			return seeded{}, err
		}
	}
	for _, a := range []*rig.Account{&s.admin, &s.user} {
		if err := api.SignIn(ctx, a); err != nil {
			return seeded{}, err
		}
	}
	for range mostConnections {
		own := s.user
		if err := api.SignIn(ctx, &own); err != nil {
			return seeded{}, err
		}
		s.chains = append(s.chains, &refreshChain{address: s.server.Address, token: own.Refresh})
	}
	say("filling the table with %d images", s.options.images)
	return seedImages(ctx, filepath.Join(s.dataDir(), "llmhist.db"), s.options.images, s.user.ID)
}

// memory is what the server used over the whole measurement.
type memory struct {
	end, peak int64
	peakIn    string
}

func (s *stage) memory(rows []row) (memory, error) {
	var m memory
	for _, r := range rows {
		for _, result := range r.server {
			if peak := result.Processes[0].RSSPeak; peak > m.peak {
				m.peak, m.peakIn = peak, r.scenario.name
			}
		}
	}
	var err error
	m.end, err = load.RSS(s.server.PID())
	return m, err
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"llmhist/bench/load"
)

// stage holds the processes of a measurement and who signs in to them.
type stage struct {
	options  options
	dir      string
	server   *child
	upstream *child
	baseline *child

	baselineToken string
	admin, user   account
	visitor       account // signs in again and again, which ends the oldest of its many sessions
	chains        []*refreshChain
}

// openStage starts the upstream and the yardstick. Close the stage, also after
// an error.
func openStage(ctx context.Context, o options, dir string) (*stage, error) {
	s := &stage{options: o, dir: dir}
	var err error
	if s.options.binary, err = copyBinary(o.binary, dir); err != nil {
		return s, err
	}
	if s.upstream, err = startTool(ctx, dir, filepath.Join(o.tools, "fakeupstream")); err != nil {
		return s, err
	}
	base := strings.TrimSpace(s.upstream.first)
	if s.upstream.address, err = hostOf(base); err != nil {
		return s, err
	}
	if s.baseline, err = startTool(ctx, dir, filepath.Join(o.tools, "baseline"), "-upstream", base); err != nil {
		return s, err
	}
	var said struct{ Address, Token string }
	if err := json.Unmarshal([]byte(s.baseline.first), &said); err != nil {
		return s, fmt.Errorf("the yardstick said %q: %w", s.baseline.first, err)
	}
	s.baselineToken = said.Token
	s.baseline.address, err = hostOf(said.Address)
	return s, err
}

// copyBinary keeps a build that happens meanwhile from changing what is measured.
func copyBinary(from, dir string) (string, error) {
	source, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer func() { _ = source.Close() }()
	to := filepath.Join(dir, "bench-server")
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o700)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(target, source)
	return to, errors.Join(err, target.Close())
}

func hostOf(address string) (string, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	return parsed.Host, nil
}

func (s *stage) close() {
	s.server.stop()
	s.baseline.stop()
	s.upstream.stop()
}

// limits are the names of every request limit; all are switched off, because
// they would be what is measured.
var limits = []string{
	"AUTH_LOGIN", "AUTH_REGISTER", "IMAGE_GENERATE", "IMAGE_GENERATE_ANONYMOUS",
	"SPEECH_GENERATE", "SPEECH_GENERATE_ANONYMOUS", "CHAT_MESSAGE", "ADMIN_ALL",
}

// environment returns the settings of the server.
func (s *stage) environment(data string) []string {
	env := []string{
		"HOST=127.0.0.1", "DATA_DIR=" + data, "LOG_LEVEL=warn", "LOG_FORMAT=json", "JWT_EXPIRES_IN=2h",
		"CHAT_PROVIDERS=openai,local", "OPENAI_API_KEY=x", "OPENAI_DEFAULT_MODEL=demo-1",
		"OPENAI_BASE_URL=http://" + s.upstream.address + "/v1",
	}
	for _, name := range limits {
		env = append(env, "RATE_LIMITS_"+name+"=off")
	}
	return env
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
`, s.upstream.address)
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
		s.server.stop()
		server, took, err := startServer(ctx, s.options, s.dir, s.environment(data), "--config", file)
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
	if result.rssStart, err = load.RSS(s.server.pid()); err != nil {
		return result, err
	}
	say("started %d times; now idle for %s", 2*s.options.starts, s.options.idle)
	time.Sleep(s.options.idle)
	if result.rssIdle, err = load.RSS(s.server.pid()); err != nil {
		return result, fmt.Errorf("the idle server: %w: %s", err, s.server.lastWords())
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
	s.admin = account{Email: "admin@example.org", Password: "correct horse battery staple"}
	s.user = account{Email: "user@example.org", Password: "correct horse battery staple"}
	s.visitor = account{Email: "visitor@example.org", Password: s.user.Password}
	command := exec.CommandContext(ctx, s.options.binary, "admin", "create", "--email", s.admin.Email, "--data-dir", s.dataDir())
	command.Dir, command.Env = s.dir, []string{"PATH=/usr/bin:/bin", "HOME=" + s.dir}
	command.Stdin = strings.NewReader(s.admin.Password + "\n")
	if out, err := command.CombinedOutput(); err != nil {
		return seeded{}, fmt.Errorf("admin create: %w: %s", err, out)
	}
	api := api{base: "http://" + s.server.address}
	for _, a := range []account{s.user, s.visitor} {
		if err := api.register(ctx, a); err != nil {
			return seeded{}, err
		}
	}
	for _, a := range []*account{&s.admin, &s.user} {
		if err := api.signIn(ctx, a); err != nil {
			return seeded{}, err
		}
	}
	for range mostConnections {
		own := s.user
		if err := api.signIn(ctx, &own); err != nil {
			return seeded{}, err
		}
		s.chains = append(s.chains, &refreshChain{address: s.server.address, token: own.refresh})
	}
	say("filling the table with %d images", s.options.images)
	return seedImages(ctx, filepath.Join(s.dataDir(), "llmhist.db"), s.options.images, s.user.id)
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
	m.end, err = load.RSS(s.server.pid())
	return m, err
}

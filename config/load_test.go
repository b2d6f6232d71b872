package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"llmhist/platform/outbound"
	"llmhist/platform/ratelimit"
)

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "llmhist.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFlagOverEnvironmentOverFileOverDefault(t *testing.T) {
	file := write(t, "host: 10.0.0.1\nport: 1\ndata:\n  dir: from-file\nlog:\n  level: warn\n")
	t.Setenv("PORT", "2")
	t.Setenv("DATA_DIR", "from-env")
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	Flags(flags)
	if err := flags.Parse([]string{"--port", "3"}); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file, flags)
	if err != nil {
		t.Fatal(err)
	}
	if c.Port != 3 || c.Data.Dir != "from-env" || c.Host != "10.0.0.1" || c.Log.Level != "warn" || c.JWT.Issuer != "llmhist" {
		t.Errorf("%d %s %s %s %s", c.Port, c.Data.Dir, c.Host, c.Log.Level, c.JWT.Issuer)
	}
}

func TestEveryKindOfValueComesFromTheEnvironment(t *testing.T) {
	t.Setenv("JWT_EXPIRES_IN", "20m")
	t.Setenv("JWT_REFRESH_EXPIRES_IN", "60d")
	t.Setenv("RATE_LIMITS_AUTH_LOGIN", "7/hour")
	t.Setenv("RATE_LIMITS_ADMIN_ALL", "off")
	t.Setenv("CHAT_PROVIDERS", "local, openai ,")
	t.Setenv("CORS_ORIGINS", "https://a.example.com,https://b.example.com")
	t.Setenv("AUTH_REGISTRATION", "false")
	t.Setenv("OPENAI_API_KEY", "sk-1")
	t.Setenv("TRUSTED_PROXIES", "10.0.0.0/8,::1")
	c, err := Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.JWT.AccessTokenLife != 20*time.Minute || c.JWT.RefreshTokenLife != 60*24*time.Hour {
		t.Errorf("durations %v %v", c.JWT.AccessTokenLife, c.JWT.RefreshTokenLife)
	}
	if c.Rate.AuthLogin != (ratelimit.Rule{Requests: 7, Window: time.Hour}) || !c.Rate.AdminAll.Off() || c.Rate.ChatMessage.Requests != 30 {
		t.Errorf("rules %v %v %v", c.Rate.AuthLogin, c.Rate.AdminAll, c.Rate.ChatMessage)
	}
	if strings.Join(c.ChatConfig().Providers, "|") != "local|openai" || len(c.CORS.Origins) != 2 || c.AuthConfig().Registration {
		t.Errorf("%v %v %v", c.Chat.Providers, c.CORS.Origins, c.AuthConfig().Registration)
	}
	if c.ChatConfig().OpenAI.APIKey.Reveal() != "sk-1" || len(c.TrustedPrefixes()) != 2 {
		t.Errorf("%v %v", c.OpenAI.APIKey, c.TrustedPrefixes())
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("from the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OPENAI_API_KEY_FILE", secret)
	c, err := Load("", nil)
	if err != nil || c.OpenAI.APIKey.Reveal() != "from the file" {
		t.Fatalf("%q %v", c.OpenAI.APIKey.Reveal(), err)
	}
	t.Setenv("OPENAI_API_KEY", "both")
	if _, err := Load("", nil); err == nil || !strings.Contains(err.Error(), "OPENAI_API_KEY_FILE") {
		t.Errorf("both set: %v", err)
	}
}

func TestUpstreamsComeFromTheFile(t *testing.T) {
	c, err := Load(write(t, `
chat:
  providers: [mine]
  upstreams:
    - {name: mine, base_url: "http://127.0.0.1:1/v1", api_key: sk-chat, default_model: m, headers: {X-Team: a}, timeouts: {total: 2m}, limits: {retries: -1, concurrency: 4, queue_wait: 1s}}
image:
  upstreams:
    - {name: painter, type: openai, base_url: "http://127.0.0.1:1/v1", models: [p], headers: {X-Team: sk-image}, timeouts: {idle: 9s}, limits: {first_byte: 3m, retries: 1, max_retry_after: 20s, queue_length: 7}}
speech:
  upstreams:
    - {name: kokoro, base_url: "http://127.0.0.1:1/v1", default_model: k, headers: {X-Team: sk-speech}, timeouts: {total: 40s}}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	mine, painter, kokoro := c.ChatConfig().Upstreams[0], c.ImageConfig().Upstreams[0], c.SpeechConfig().Upstreams[0]
	if mine.Timeouts.Total != 2*time.Minute || mine.APIKey.Reveal() != "sk-chat" || painter.Limits.FirstByte != 3*time.Minute || kokoro.Name != "kokoro" {
		t.Errorf("%+v %+v %+v", mine, painter, kokoro)
	}
	if painter.Timeouts.Idle != 9*time.Second || painter.Headers["x-team"].Reveal() != "sk-image" ||
		kokoro.Timeouts.Total != 40*time.Second || kokoro.Headers["x-team"].Reveal() != "sk-speech" {
		t.Errorf("%+v %+v", painter, kokoro)
	}
	if diff := cmp.Diff(outbound.Policy{Retries: -1, Concurrency: 4, QueueWait: time.Second}, mine.Limits); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(outbound.Policy{Retries: 1, MaxRetryAfter: 20 * time.Second, QueueLength: 7}, painter.Limits.Policy); diff != "" {
		t.Error(diff)
	}
	text, err := c.YAML()
	if again, err := Load(write(t, strings.ReplaceAll(text, "***", "sk")), nil); err != nil || again.Image.Upstreams[0].Limits != painter.Limits {
		t.Errorf("%v\n%s", err, text)
	}
	if err != nil || strings.Contains(text, "sk-") || !strings.Contains(text, "name: kokoro") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestTheEffectiveConfigurationLoadsAgain(t *testing.T) {
	first, err := Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := first.YAML()
	if err != nil {
		t.Fatal(err)
	}
	second, err := Load(write(t, text), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if again, _ := second.YAML(); again != text {
		t.Errorf("it changed:\n%s\n%s", text, again)
	}
}

func TestEveryFaultIsNamedAndNoSecretIsShown(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		env  map[string]string
		want []string
	}{
		"an unknown key":          {"prot: 1\nchat:\n  provider: x\n", nil, []string{`unknown key "prot"`, `unknown key "chat.provider"`}},
		"an unknown nested key":   {"chat:\n  upstreams:\n    - {nam: x}\n", nil, []string{"nam"}},
		"broken YAML":             {"a: [", nil, []string{"is not valid"}},
		"a bad number":            {"", map[string]string{"PORT": "http"}, []string{"port"}},
		"a bad duration":          {"", map[string]string{"JWT_EXPIRES_IN": "soon"}, []string{"expires_in", "15m, 36h or 30d"}},
		"a duration without unit": {"jwt:\n  expires_in: 900\n", nil, []string{"expires_in", "15m, 36h or 30d"}},
		"a bad limit":             {"", map[string]string{"RATE_LIMITS_AUTH_LOGIN": "many"}, []string{"limits_auth_login", "10/min"}},
		"several at once": {"", map[string]string{"PORT": "70000", "PUBLIC_URL": "llm.example.com", "CORS_ORIGINS": "*", "LOG_LEVEL": "loud", "ADMIN_EMAIL": "a@b.c"},
			[]string{"PORT", "PUBLIC_URL", "CORS_ORIGINS", "LOG_LEVEL", "ADMIN_PASSWORD"}},
		"an empty host": {"host: ''\n", nil, []string{"HOST"}},
		"origins no browser sends": {"", map[string]string{"CORS_ORIGINS": "https://slash.example/,https://Upper.example,http://:80,https://q.example?"},
			[]string{"slash.example", "Upper.example", `"http://:80"`, "q.example?"}},
		"an address with slashes":      {"", map[string]string{"PUBLIC_URL": "https://h.example//"}, []string{"PUBLIC_URL"}},
		"an object store without keys": {"", map[string]string{"S3_ENDPOINT": "http://h"}, []string{"S3_ACCESS_KEY", "S3_SECRET_KEY"}},
		"a public address of no store": {"", map[string]string{"S3_PUBLIC_URL": "http://h"}, []string{"S3_PUBLIC_URL", "S3_ENDPOINT"}},
		"documents without a name":     {"mongo:\n  db_name: ''\n", map[string]string{"MONGO_URI": "mongodb://u:hidden@h"}, []string{"MONGO_DB_NAME"}},
		"placeholders of secrets":      {"openai:\n  api_key: '***'\nchat:\n  upstreams:\n    - {name: x, base_url: 'http://h/v1', default_model: m, api_key: '***'}\n", nil, []string{"OPENAI_API_KEY is ***", "CHAT_UPSTREAMS is ***"}},
		"placeholders in headers":      {"image:\n  upstreams:\n    - {name: x, base_url: 'http://h/v1', default_model: m, headers: {api-key: '***'}}\n", nil, []string{"IMAGE_UPSTREAMS is ***"}},
		"an unknown way to migrate":    {"", map[string]string{"DATABASE_MIGRATE": "never"}, []string{"DATABASE_MIGRATE", "auto or manual"}},
		"the wrong dialect":            {"", map[string]string{"DATABASE_URL": "mysql://u:hidden@h/d"}, []string{"DATABASE_URL", "postgres://"}},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range test.env {
				t.Setenv(key, value)
			}
			_, err := Load(write(t, test.file), nil)
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
			if strings.Contains(err.Error(), "hidden") {
				t.Errorf("it shows the secret: %v", err)
			}
		})
	}
	if _, err := Load(filepath.Join(t.TempDir(), "absent.yaml"), nil); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a named file that is absent: %v", err)
	}
}

func TestDatabaseParts(t *testing.T) {
	t.Setenv("DATABASE_HOST", "db")
	t.Setenv("DATABASE_USERNAME", "me")
	t.Setenv("DATABASE_PASSWORD", "p@ss/word")
	t.Setenv("DATABASE_NAME", "hist")
	c, err := Load("", nil)
	if err != nil || c.PostgresDSN() != "postgres://me:p%40ss%2Fword@db:5432/hist" {
		t.Errorf("%s %v", c.PostgresDSN(), err)
	}
}

func TestATargetTakesNothingFromTheEnvironmentButItsOwn(t *testing.T) {
	file := write(t, "data:\n  dir: target\ndatabase:\n  host: db\n  username: u\n  name: n\n")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hidden\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DATA_DIR", "source")
	t.Setenv("MONGO_URI", "mongodb://source/")
	t.Setenv("TO_DATABASE_PORT", "5433")
	t.Setenv("TO_DATABASE_PASSWORD_FILE", secret)
	c, err := LoadTarget(file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Data.Dir != "target" || c.Mongo.URI != "" || c.Database.Port != 5433 || c.Database.Password.Reveal() != "hidden" {
		t.Errorf("%s %d %v", c.Data.Dir, c.Database.Port, c.Mongo.URI == "")
	}
	source, err := Load("", nil)
	if err != nil || source.Data.Dir != "source" || source.Database.Port != 5432 {
		t.Errorf("the source: %s %d %v", source.Data.Dir, source.Database.Port, err)
	}
	if _, err := LoadTarget(filepath.Join(t.TempDir(), "absent.yaml")); err == nil || !strings.Contains(err.Error(), "target") {
		t.Error(err)
	}
	if _, err := LoadTarget(""); err == nil {
		t.Error("a target without a file was taken")
	}
}

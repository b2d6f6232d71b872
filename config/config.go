// Package config is the one place where settings come together: flags, the
// environment, the config file and the defaults, in this order of precedence.
// Each module declares its own settings; this package composes them.
//
// A key of the file is the environment variable in lower case with the first
// underscore as a dot: DATA_DIR is data.dir, JWT_EXPIRES_IN is jwt.expires_in.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"llmhist/modules/analytics"
	"llmhist/modules/auth"
	"llmhist/modules/chat"
	"llmhist/modules/image"
	"llmhist/modules/speech"
	"llmhist/platform/blob"
	"llmhist/platform/logging"
	"llmhist/platform/ratelimit"
	"llmhist/platform/web"
)

// Config is everything an operator can set. Load makes a checked one.
type Config struct {
	Host    string  `mapstructure:"host"`
	Port    int     `mapstructure:"port"`
	Public  Public  `mapstructure:"public"`
	Trusted Trusted `mapstructure:"trusted"`
	Data    Data    `mapstructure:"data"`
	Log     Log     `mapstructure:"log"`
	Metrics Metrics `mapstructure:"metrics"`
	CORS    CORS    `mapstructure:"cors"`
	Links   Links   `mapstructure:"links"`

	Database Database `mapstructure:"database"`
	Mongo    Mongo    `mapstructure:"mongo"`
	S3       S3       `mapstructure:"s3"`
	Redis    Redis    `mapstructure:"redis"`

	Admin     Admin            `mapstructure:"admin"`
	Auth      Auth             `mapstructure:"auth"`
	JWT       auth.Config      `mapstructure:"jwt"`
	Rate      Rate             `mapstructure:"rate"`
	Analytics analytics.Config `mapstructure:"analytics"`

	Chat   Chat        `mapstructure:"chat"`
	OpenAI chat.OpenAI `mapstructure:"openai"`
	GitHub chat.GitHub `mapstructure:"github"`

	Image        Image              `mapstructure:"image"`
	Pollinations image.Pollinations `mapstructure:"pollinations"`

	Speech Speech            `mapstructure:"speech"`
	GTTS   speech.GTTSConfig `mapstructure:"gtts"`
}

// Public says how users reach the server.
type Public struct {
	URL string `mapstructure:"url"` // "" = the address it listens on
}

// Trusted names the proxies whose X-Forwarded-For is believed.
type Trusted struct {
	Proxies []string `mapstructure:"proxies"` // addresses and CIDR ranges
}

// Data says where the embedded stores are.
type Data struct {
	Dir string `mapstructure:"dir"`
}

// Log says what is logged and how.
type Log struct {
	Level  string `mapstructure:"level"`
	Format string `mapstructure:"format"` // "" = text on a terminal, else json
}

// Metrics guards GET /metrics.
type Metrics struct {
	Token logging.Secret `mapstructure:"token"` // "" = no metrics are served
}

// CORS names the other origins whose pages may call the API.
type CORS struct {
	Origins []string `mapstructure:"origins"` // exact, such as https://app.example.com
}

// Links bounds signed links to objects.
type Links struct {
	ExpiresIn time.Duration `mapstructure:"expires_in"`
}

// Database names the SQL engine. Nothing set means SQLite in the data directory.
type Database struct {
	URL      logging.Secret `mapstructure:"url"` // of PostgreSQL
	Host     string         `mapstructure:"host"`
	Port     int            `mapstructure:"port"`
	Username string         `mapstructure:"username"`
	Password logging.Secret `mapstructure:"password"`
	Name     string         `mapstructure:"name"`
	Migrate  string         `mapstructure:"migrate"` // MigrateAuto or MigrateManual
}

// When the SQL schema is brought up to date.
const (
	MigrateAuto   = "auto"   // at every start
	MigrateManual = "manual" // by llmhist migrate up alone
)

// Mongo names a document store.
type Mongo struct {
	URI    logging.Secret `mapstructure:"uri"`
	DBName string         `mapstructure:"db_name"`
}

// S3 names an object store; its bucket names are used in the data directory
// too, so that both have the same layout.
type S3 struct {
	Endpoint     string         `mapstructure:"endpoint"`
	AccessKey    logging.Secret `mapstructure:"access_key"`
	SecretKey    logging.Secret `mapstructure:"secret_key"`
	Region       string         `mapstructure:"region"`
	Bucket       string         `mapstructure:"bucket"`
	SpeechBucket string         `mapstructure:"speech_bucket"`
	PublicURL    string         `mapstructure:"public_url"`
}

// Redis names a store for limits shared by several processes.
type Redis struct {
	URL logging.Secret `mapstructure:"url"`
}

// Admin is made at start when there is no administrator yet.
type Admin struct {
	Email    string         `mapstructure:"email"`
	Password logging.Secret `mapstructure:"password"`
}

// Auth says who may make an account.
type Auth struct {
	Registration bool `mapstructure:"registration"`
}

// Rate holds the request limits.
type Rate struct {
	AuthLogin               ratelimit.Rule `mapstructure:"limits_auth_login"`
	AuthRegister            ratelimit.Rule `mapstructure:"limits_auth_register"`
	ImageGenerate           ratelimit.Rule `mapstructure:"limits_image_generate"`
	ImageGenerateAnonymous  ratelimit.Rule `mapstructure:"limits_image_generate_anonymous"`
	SpeechGenerate          ratelimit.Rule `mapstructure:"limits_speech_generate"`
	SpeechGenerateAnonymous ratelimit.Rule `mapstructure:"limits_speech_generate_anonymous"`
	ChatMessage             ratelimit.Rule `mapstructure:"limits_chat_message"`
	AdminAll                ratelimit.Rule `mapstructure:"limits_admin_all"`
}

// Chat orders the chat providers and adds further ones.
type Chat struct {
	Providers      []string        `mapstructure:"providers"`
	ContextTokens  int64           `mapstructure:"context_tokens"`
	MaxAnswerBytes int             `mapstructure:"max_answer_bytes"`
	Upstreams      []chat.Upstream `mapstructure:"upstreams"`
	Aliases        []chat.Alias    `mapstructure:"aliases"`
}

// Image orders the image providers and adds further ones.
type Image struct {
	Providers []string         `mapstructure:"providers"`
	Upstreams []image.Upstream `mapstructure:"upstreams"`
	Aliases   []image.Alias    `mapstructure:"aliases"`
}

// Speech orders the speech providers and adds further ones.
type Speech struct {
	Providers []string          `mapstructure:"providers"`
	Upstreams []speech.Upstream `mapstructure:"upstreams"`
	Aliases   []speech.Alias    `mapstructure:"aliases"`
}

func defaults() Config {
	perMinute := func(n int) ratelimit.Rule { return ratelimit.Rule{Requests: n, Window: time.Minute} }
	c := Config{
		Host: "127.0.0.1", Port: 8080,
		Data:      Data{Dir: "./data"},
		Log:       Log{Level: "info"},
		Links:     Links{ExpiresIn: 5 * time.Minute},
		Database:  Database{Port: 5432, Migrate: MigrateAuto},
		Mongo:     Mongo{DBName: "llmhist"},
		S3:        S3{Region: "us-east-1", Bucket: "llmhist-image-dev", SpeechBucket: "llmhist-speech-dev"},
		Auth:      Auth{Registration: true},
		JWT:       auth.DefaultConfig(),
		Analytics: analytics.DefaultConfig(),
		Rate: Rate{
			AuthLogin: perMinute(5), AuthRegister: perMinute(3),
			ImageGenerate: perMinute(10), ImageGenerateAnonymous: perMinute(2),
			SpeechGenerate: perMinute(10), SpeechGenerateAnonymous: perMinute(2),
			ChatMessage: perMinute(30), AdminAll: perMinute(100),
		},
		Chat:         Chat{ContextTokens: chat.DefaultContextTokens, MaxAnswerBytes: chat.DefaultMaxAnswerBytes},
		OpenAI:       chat.OpenAI{BaseURL: chat.DefaultOpenAIBaseURL},
		GitHub:       chat.GitHub{APIBase: chat.DefaultGitHubAPIBase},
		Pollinations: image.Pollinations{APIURL: image.PollinationsURL},
		GTTS:         speech.GTTSConfig{APIURL: "https://translate.google.com"},
	}
	c.JWT.Registration = false // unused here: it is auth.registration, see AuthConfig
	return c
}

// Validate reports all faults at once, each with the key to change.
func (c Config) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(c.Host != "", "HOST must not be empty; 0.0.0.0 or :: listens on every address")
	check(c.Port >= 0 && c.Port <= 65535, "PORT must be 0 to 65535")
	check(c.Data.Dir != "", "DATA_DIR must not be empty")
	check(c.Public.URL == "" || isOrigin(c.Public.URL), "PUBLIC_URL must be an address such as https://llm.example.com, without a path")
	for _, origin := range c.CORS.Origins {
		check(isOrigin(origin) && !strings.HasSuffix(origin, "/") && origin == strings.ToLower(origin),
			"CORS_ORIGINS: %q must be an exact origin as browsers send it, such as https://app.example.com, in lower case and without a slash at the end", origin)
	}
	_, err := web.ParsePrefixes(c.Trusted.Proxies)
	check(err == nil, "TRUSTED_PROXIES: %v", err)
	check(c.Links.ExpiresIn >= time.Second && c.Links.ExpiresIn <= 7*24*time.Hour, "LINKS_EXPIRES_IN must be 1s to 7d")
	_, err = logging.New(nil, c.Log.Level, c.Log.Format)
	check(err == nil, "%v", err)
	check((c.Admin.Email == "") == (c.Admin.Password == ""), "ADMIN_EMAIL and ADMIN_PASSWORD must be set together")
	check(blob.ValidKey(c.S3.Bucket) && blob.ValidKey(c.S3.SpeechBucket), "S3_BUCKET and S3_SPEECH_BUCKET must be made of letters, digits, '.', '_' and '-'")
	check(c.S3.Bucket != c.S3.SpeechBucket, "S3_BUCKET and S3_SPEECH_BUCKET must differ: each service has its own")
	return errors.Join(append(faults, c.validateStores(), c.AuthConfig().Validate(), c.Analytics.Validate())...)
}

// validateStores checks how the engines are named. Whether they answer is found
// out when they are opened.
func (c Config) validateStores() error {
	var faults []error
	if c.S3.Endpoint != "" && (c.S3.AccessKey == "" || c.S3.SecretKey == "") {
		faults = append(faults, errors.New("S3_ENDPOINT needs S3_ACCESS_KEY and S3_SECRET_KEY too"))
	}
	if c.S3.Endpoint == "" && c.S3.PublicURL != "" {
		faults = append(faults, errors.New("S3_PUBLIC_URL is set without S3_ENDPOINT"))
	}
	if c.Mongo.URI != "" && c.Mongo.DBName == "" {
		faults = append(faults, errors.New("MONGO_DB_NAME must not be empty"))
	}
	if c.Database.URL != "" && c.Database.Host != "" {
		faults = append(faults, errors.New("DATABASE_URL and DATABASE_HOST are both set: keep one"))
	}
	if dsn := c.Database.URL.Reveal(); dsn != "" && !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		faults = append(faults, errors.New("DATABASE_URL must begin with postgres://; leave it unset for SQLite"))
	}
	if c.Database.Migrate != MigrateAuto && c.Database.Migrate != MigrateManual {
		faults = append(faults, fmt.Errorf("DATABASE_MIGRATE must be %s or %s, not %q", MigrateAuto, MigrateManual, c.Database.Migrate))
	}
	if c.Database.Host != "" && (c.Database.Username == "" || c.Database.Name == "") {
		faults = append(faults, errors.New("DATABASE_HOST needs DATABASE_USERNAME and DATABASE_NAME too"))
	}
	return errors.Join(faults...)
}

func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && !strings.Contains(u.Host, "*") &&
		u.User == nil && (u.Path == "" || u.Path == "/") && !strings.ContainsAny(text, "?#")
}

// PostgresDSN returns the address of PostgreSQL with its password, or "" for
// SQLite.
func (c Config) PostgresDSN() string {
	if c.Database.Host == "" {
		return c.Database.URL.Reveal()
	}
	dsn := url.URL{
		Scheme: "postgres", Path: "/" + c.Database.Name,
		User: url.UserPassword(c.Database.Username, c.Database.Password.Reveal()),
		Host: net.JoinHostPort(c.Database.Host, strconv.Itoa(c.Database.Port)),
	}
	return dsn.String()
}

// SQLStore names the SQL database without any secret: the SQLite file, or
// PostgreSQL.
func (c Config) SQLStore() string {
	if c.PostgresDSN() != "" {
		return "PostgreSQL"
	}
	return filepath.Join(c.Data.Dir, "llmhist.db")
}

// TrustedPrefixes returns the proxies whose X-Forwarded-For is believed.
func (c Config) TrustedPrefixes() []netip.Prefix {
	list, _ := web.ParsePrefixes(c.Trusted.Proxies) // checked by Validate
	return list
}

// Rules returns the request limits by the names that routes use.
func (c Config) Rules() ratelimit.Rules {
	return ratelimit.Rules{
		"auth_login": c.Rate.AuthLogin, "auth_register": c.Rate.AuthRegister,
		"image_generate": c.Rate.ImageGenerate, "image_generate_anonymous": c.Rate.ImageGenerateAnonymous,
		"speech_generate": c.Rate.SpeechGenerate, "speech_generate_anonymous": c.Rate.SpeechGenerateAnonymous,
		"chat_message": c.Rate.ChatMessage, "admin_all": c.Rate.AdminAll,
	}
}

// AuthConfig returns the settings of the auth module.
func (c Config) AuthConfig() auth.Config {
	own := c.JWT
	own.Registration = c.Auth.Registration
	return own
}

// ChatConfig returns the settings of the chat module.
func (c Config) ChatConfig() chat.Config {
	return chat.Config{
		Providers: c.Chat.Providers, ContextTokens: c.Chat.ContextTokens, MaxAnswerBytes: c.Chat.MaxAnswerBytes,
		OpenAI: c.OpenAI, GitHub: c.GitHub, Upstreams: c.Chat.Upstreams, Aliases: c.Chat.Aliases,
	}
}

// ImageConfig returns the settings of the image module.
func (c Config) ImageConfig() image.Config {
	return image.Config{Providers: c.Image.Providers, Pollinations: c.Pollinations, Upstreams: c.Image.Upstreams, Aliases: c.Image.Aliases}
}

// SpeechConfig returns the settings of the speech module.
func (c Config) SpeechConfig() speech.Config {
	return speech.Config{
		Providers: c.Speech.Providers, GTTS: c.GTTS, Upstreams: c.Speech.Upstreams, Aliases: c.Speech.Aliases,
		Flite: speech.FliteConfig{CacheDir: filepath.Join(c.Data.Dir, "cache", "flite")},
	}
}

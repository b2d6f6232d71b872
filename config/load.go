package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"llmhist/platform/logging"
	"llmhist/platform/ratelimit"
)

// DefaultFile is read when it exists and no other file is named.
const DefaultFile = "llmhist.yaml"

// Load returns the effective configuration: flags win over the environment,
// the environment over the file, the file over the defaults. An empty file
// means DefaultFile if there is one. The error lists every fault and names the
// key of each, never a value that may be secret.
func Load(file string, flags *pflag.FlagSet) (Config, error) { return load(file, flags, "") }

// TargetPrefix begins the environment variables that apply to LoadTarget.
const TargetPrefix = "TO_"

// LoadTarget returns the configuration of another installation: that of file,
// which must exist, with the environment variables that begin with TargetPrefix,
// and no others, before it.
func LoadTarget(file string) (Config, error) {
	if file == "" {
		return Config{}, errors.New("name the config file of the target")
	}
	c, err := load(file, nil, TargetPrefix)
	if err != nil {
		return Config{}, fmt.Errorf("the target: %w", err)
	}
	return c, nil
}

// load reads the environment variables that begin with prefix.
func load(file string, flags *pflag.FlagSet, prefix string) (Config, error) {
	v := viper.New()
	v.SetEnvPrefix(strings.TrimSuffix(prefix, "_"))
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
	v.AutomaticEnv()
	walk(reflect.ValueOf(defaults()), "", func(key string, value reflect.Value) {
		v.SetDefault(key, value.Interface())
	})
	if err := readFile(v, file); err != nil {
		return Config{}, err
	}
	if err := readSecretFiles(v, prefix); err != nil {
		return Config{}, err
	}
	if err := bindFlags(v, flags); err != nil {
		return Config{}, err
	}
	if err := refuseUnknown(v); err != nil {
		return Config{}, err
	}
	var c Config
	if err := v.UnmarshalExact(&c, viper.DecodeHook(decodeHook())); err != nil {
		return Config{}, explain(err)
	}
	return c, errors.Join(c.refusePlaceholders(), c.Validate())
}

func readFile(v *viper.Viper, file string) error {
	named := file != ""
	if !named {
		file = DefaultFile
	}
	v.SetConfigFile(file)
	err := v.ReadInConfig()
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist) && !named:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("config file %s does not exist", file)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("config file %s cannot be read: permission denied", file)
	default:
		return fmt.Errorf("config file %s is not valid: %w", file, err)
	}
}

// refuseUnknown names every key of the file that is no setting: a typing error
// must not silently mean the default.
func refuseUnknown(v *viper.Viper) error {
	known := map[string]bool{}
	walk(reflect.ValueOf(Config{}), "", func(key string, _ reflect.Value) { known[key] = true })
	var faults []error
	for _, key := range v.AllKeys() {
		if !known[key] {
			faults = append(faults, fmt.Errorf("unknown key %q in %s: llmhist config lists every key", key, v.ConfigFileUsed()))
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}

// readSecretFiles lets every secret come from a file: DATABASE_PASSWORD_FILE
// names the file that holds DATABASE_PASSWORD.
func readSecretFiles(v *viper.Viper, prefix string) error {
	var faults []error
	walk(reflect.ValueOf(Config{}), "", func(key string, value reflect.Value) {
		if value.Type() != reflect.TypeFor[logging.Secret]() {
			return
		}
		variable := prefix + EnvName(key)
		name := variable + "_FILE"
		path := os.Getenv(name)
		if path == "" {
			return
		}
		if os.Getenv(variable) != "" {
			faults = append(faults, fmt.Errorf("%s and %s are both set: keep one", variable, name))
			return
		}
		data, err := os.ReadFile(path)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: cannot read the file it names", name))
			return
		}
		v.Set(key, strings.TrimRight(string(data), "\r\n"))
	})
	return errors.Join(faults...)
}

// flagKeys are the settings that have a flag.
var flagKeys = map[string]string{
	"host": "host", "port": "port", "data-dir": "data.dir", "public-url": "public.url",
	"log-level": "log.level", "log-format": "log.format",
}

// Flags adds the settings that have a flag to a command.
func Flags(flags *pflag.FlagSet) {
	flags.String("host", "127.0.0.1", "address to listen on (HOST)")
	flags.Int("port", 8080, "port to listen on (PORT)")
	flags.String("data-dir", "./data", "directory of the embedded stores (DATA_DIR)")
	flags.String("public-url", "", "address users reach this server at (PUBLIC_URL)")
	flags.String("log-level", "info", "debug, info, warn or error (LOG_LEVEL)")
	flags.String("log-format", "", "json or text (LOG_FORMAT)")
}

func bindFlags(v *viper.Viper, flags *pflag.FlagSet) error {
	if flags == nil {
		return nil
	}
	for name, key := range flagKeys {
		flag := flags.Lookup(name)
		if flag == nil || !flag.Changed {
			continue
		}
		v.Set(key, flag.Value.String())
	}
	return nil
}

// EnvName returns the environment variable of a key: data.dir is DATA_DIR.
func EnvName(key string) string { return strings.ToUpper(strings.ReplaceAll(key, ".", "_")) }

// walk visits every setting that is not itself a group, with its key.
func walk(v reflect.Value, prefix string, visit func(key string, value reflect.Value)) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Tag.Get("mapstructure") == "-" {
			continue // set by another key
		}
		key := prefix + field.Tag.Get("mapstructure")
		if field.Type.Kind() == reflect.Struct && field.Type != reflect.TypeFor[ratelimit.Rule]() {
			walk(v.Field(i), key+".", visit)
			continue
		}
		visit(key, v.Field(i))
	}
}

func decodeHook() mapstructure.DecodeHookFunc {
	return mapstructure.ComposeDecodeHookFunc(
		mapstructure.TextUnmarshallerHookFunc(),
		durationHook,
		listHook,
	)
}

// durationHook reads 15m, 36h and, as operators write them, 30d.
func durationHook(from, to reflect.Type, data any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() || from == to {
		return data, nil
	}
	return parseDuration(fmt.Sprint(data))
}

func parseDuration(text string) (time.Duration, error) {
	if days, found := strings.CutSuffix(text, "d"); found {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 36500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: write for example 15m, 36h or 30d", text)
	}
	return d, nil
}

// listHook reads a,b,c as a list.
func listHook(from, to reflect.Type, data any) (any, error) {
	if from.Kind() != reflect.String || to != reflect.TypeFor[[]string]() {
		return data, nil
	}
	list := []string{}
	for item := range strings.SplitSeq(data.(string), ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list, nil
}

// explain names the keys that could not be decoded. Values of secrets do not
// reach it: a secret is any text.
func explain(err error) error {
	text := err.Error()
	if _, after, found := strings.Cut(text, "error(s):"); found {
		text = strings.TrimSpace(after)
	}
	return fmt.Errorf("the configuration is not valid: %s", text)
}

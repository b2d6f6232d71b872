package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"

	"llmhist/modules/chat"
	"llmhist/modules/speech"
)

const exampleFile = "../llmhist.example.yaml"

// cleanEnvironment keeps the settings of whoever runs the tests out of them.
func cleanEnvironment(t *testing.T) {
	t.Helper()
	walk(reflect.ValueOf(Config{}), "", func(key string, _ reflect.Value) {
		t.Setenv(EnvName(key), "")
		t.Setenv(EnvName(key)+"_FILE", "")
	})
}

func TestTheExampleFileHoldsTheDefaults(t *testing.T) {
	cleanEnvironment(t)
	loaded, err := Load(exampleFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(defaults(), loaded, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the example differs from the defaults (-default +example):\n%s", diff)
	}
}

func TestTheExampleFileNamesEveryKey(t *testing.T) {
	data, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	collect(tree, "", named)
	walk(reflect.ValueOf(Config{}), "", func(key string, _ reflect.Value) {
		if !named[key] {
			t.Errorf("llmhist.example.yaml does not name %s", key)
		}
	})
}

func collect(tree map[string]any, prefix string, into map[string]bool) {
	for key, value := range tree {
		if group, ok := value.(map[string]any); ok {
			collect(group, prefix+key+".", into)
			continue
		}
		into[prefix+key] = true
	}
}

// commented finds an example that is kept out of force by "# " in front.
var (
	commented   = regexp.MustCompile(`(?m)^  upstreams: \[\]\n((?:  #.*\n)+)`)
	commentMark = regexp.MustCompile(`(?m)^  # `)
)

func TestTheCommentedUpstreamsOfTheExampleWork(t *testing.T) {
	cleanEnvironment(t)
	data, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	text := commented.ReplaceAllStringFunc(string(data), func(block string) string {
		count++
		return commentMark.ReplaceAllString(strings.TrimPrefix(block, "  upstreams: []\n"), "  ")
	})
	if count != 3 {
		t.Fatalf("%d commented lists of upstreams, want those of chat, image and speech", count)
	}
	c := loadText(t, text)
	if len(c.Chat.Upstreams) != 1 || len(c.Image.Upstreams) != 1 || len(c.Speech.Upstreams) != 1 {
		t.Errorf("upstreams were lost: %d chat, %d image, %d speech", len(c.Chat.Upstreams), len(c.Image.Upstreams), len(c.Speech.Upstreams))
	}
	checkProviders(t, c)
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

func TestEveryConfigFileInTheDocumentationWorks(t *testing.T) {
	cleanEnvironment(t)
	data, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllStringSubmatch(string(data), -1)
	if len(blocks) < 5 {
		t.Fatalf("only %d yaml blocks in docs/configuration.md", len(blocks))
	}
	for _, block := range blocks {
		first, _, _ := strings.Cut(block[1], "\n")
		t.Run(first, func(t *testing.T) { checkProviders(t, loadText(t, block[1])) })
	}
}

func TestTheDocumentationNamesEverySetting(t *testing.T) {
	data, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	walk(reflect.ValueOf(Config{}), "", func(key string, value reflect.Value) {
		spelled := EnvName(key)
		if list := value.Type(); list.Kind() == reflect.Slice && list.Elem().Kind() == reflect.Struct {
			spelled = key // no variable holds a list of structs
		}
		if !strings.Contains(string(data), "`"+spelled+"`") {
			t.Errorf("docs/configuration.md does not name `%s`", spelled)
		}
	})
}

func loadText(t *testing.T, text string) Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "llmhist.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// checkProviders lets each module judge its part of the configuration.
func checkProviders(t *testing.T, c Config) {
	t.Helper()
	talk, err := chat.New(c.ChatConfig(), chat.Deps{})
	if err != nil {
		t.Errorf("chat: %v", err)
	} else {
		talk.Close()
	}
	if _, err := c.ImageConfig().Describe(); err != nil {
		t.Errorf("image: %v", err)
	}
	voices, err := speech.New(c.SpeechConfig(), speech.Deps{})
	if err != nil {
		t.Errorf("speech: %v", err)
		return
	}
	if err := voices.Close(t.Context()); err != nil {
		t.Errorf("speech: %v", err)
	}
}

//go:build !race

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// startForSDKs starts the binary with newSDKProvider behind it and returns it
// with an API key.
func startForSDKs(t *testing.T) (p *process, key string) {
	t.Helper()
	provider := newSDKProvider(t)
	dir := t.TempDir()
	settings := filepath.Join(dir, "config.yaml")
	err := os.WriteFile(settings, []byte("chat:\n  upstreams:\n    - name: fake\n      base_url: "+provider.URL+"/v1\n      api_key: sk-of-the-server\n      default_model: demo-1\n"+
		"      models: ["+strings.Join(sdkModels, ", ")+"]\n      embedding_models: [vectors-1]\n"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p = start(t, buildBinary(t), filepath.Join(dir, "data"), "LLMHIST_CONFIG="+settings, "RATE_LIMITS_SPEECH_GENERATE=off")
	key = p.json("POST", "/users/me/api-keys", userToken(p, true), object{"name": "sdk"}, 201)["key"].(string)
	t.Cleanup(func() {
		if strings.Contains(p.output.String(), "sk-of-the-server") || strings.Contains(p.output.String(), key) {
			t.Error("a key is in the log")
		}
	})
	return p, key
}

// TestTheSDKsOfNode runs the tests of web/sdk: OpenAI's own SDK, Vercel's AI SDK
// and LangChain, used as their readers would.
func TestTheSDKsOfNode(t *testing.T) {
	if _, err := os.Stat("web/sdk/node_modules/.package-lock.json"); err != nil {
		if requireAll() {
			t.Fatal("the SDKs are not installed: npm --prefix web/sdk ci")
		}
		t.Skip("the SDKs are not installed; make test-all installs them")
	}
	p, key := startForSDKs(t)
	node := exec.Command("npm", "test", "--silent")
	node.Dir = "web/sdk"
	node.Env = append(os.Environ(), "LLMHIST_URL="+p.url, "LLMHIST_KEY="+key)
	out, err := node.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s\n%s", err, out, p.output)
	}
	if said := string(out); !strings.Contains(said, "langchain.test.mjs") && !strings.Contains(said, "LangChain uses a tool") {
		t.Errorf("not every test ran:\n%s", said)
	}
}

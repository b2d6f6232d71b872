package image

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/testkit"
)

func TestListsAreOwnAndPaged(t *testing.T) {
	f := start(t, Config{})
	var mine []string
	for i := range 5 {
		f.clock.Advance(time.Second)
		mine = append(mine, f.generate(testkit.User(1), map[string]any{"prompt": []string{"Cat", "dog"}[i%2]}))
		f.generate([]testkit.Caller{testkit.User(2), testkit.Nobody}[i%2], nil)
	}
	slices.Reverse(mine)
	for name, c := range map[string]struct {
		path  string
		as    testkit.Caller
		total float64
		ids   []string // nil = not compared
	}{
		"own, newest first":         {"/image", testkit.User(1), 5, mine},
		"own, second page":          {"/image?page=2&per_page=2", testkit.User(1), 5, mine[2:4]},
		"own, beyond the end":       {"/image?page=9", testkit.User(1), 5, []string{}},
		"an admin's own":            {"/image", testkit.Admin(3), 0, []string{}},
		"all for an admin":          {"/admin/images?per_page=100", testkit.Admin(3), 10, nil},
		"one user's for an admin":   {"/admin/images?user_id=1", testkit.Admin(3), 5, mine},
		"searched by an admin":      {"/admin/images?q=cAt", testkit.Admin(3), 3, []string{mine[0], mine[2], mine[4]}},
		"searched in one user's":    {"/admin/images?q=cat&user_id=2", testkit.Admin(3), 0, []string{}},
		"their own for a user":      {"/admin/images", testkit.User(1), 5, mine},
		"their own id for a user":   {"/admin/images?user_id=1", testkit.User(1), 5, mine},
		"another's id for a user":   {"/admin/images?user_id=1", testkit.User(2), 0, []string{}},
		"another's prompts, a user": {"/admin/images?q=cat", testkit.User(2), 0, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			answer := f.do("GET", c.path, c.as, nil).JSON(t)
			list, ok := answer["images"].([]any)
			if !ok || answer["total"] != c.total {
				t.Fatalf("%v of %v", answer["total"], c.total)
			}
			ids := []string{}
			for _, entry := range list {
				ids = append(ids, entry.(map[string]any)["id"].(string))
			}
			if diff := cmp.Diff(c.ids, ids); c.ids != nil && diff != "" {
				t.Error(diff)
			}
			if strings.HasPrefix(c.path, "/admin") && len(list) > 0 && len(list[0].(map[string]any)) != 6 {
				t.Errorf("an entry is %v", list[0])
			}
		})
	}
	for path, code := range map[string]string{"/image?page=0": "page", "/image?per_page=101": "per_page", "/admin/images?user_id=0": "user_id",
		"/admin/images?user_id=x": "user_id", "/admin/images?q=" + strings.Repeat("a", 201): "q"} {
		if answer := f.do("GET", path, testkit.Admin(1), nil); answer.Status != 422 || !bytes.Contains(answer.Body, []byte(`"field":"`+code+`"`)) {
			t.Errorf("%s: %d %s", path, answer.Status, answer.Body)
		}
	}
}

func TestModelsAreListedDefaultFirst(t *testing.T) {
	u := serveUpstream(t, func(w http.ResponseWriter, _ *http.Request) {})
	config := u.as(typeOpenAI)
	config.Upstreams = append(config.Upstreams, Upstream{Name: "second", BaseURL: u.URL, DefaultModel: "m-1"})
	config.Providers = []string{"fake", "second", "local"}
	f := start(t, config)
	var got struct {
		Models []struct {
			ID, Provider string
			Default      bool
		}
	}
	if err := json.Unmarshal(f.do("GET", "/image/models", testkit.Nobody, nil).Body, &got); err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, m := range got.Models {
		list = append(list, m.ID+" "+m.Provider+map[bool]string{true: " default"}[m.Default])
	}
	if diff := cmp.Diff([]string{"m-1 fake default", "m-2 fake", "second/m-1 second", "local/canvas local"}, list); diff != "" {
		t.Error(diff)
	}
	want := []ProviderStatus{
		{Name: "fake", Models: []string{"m-1", "m-2"}, Remote: true}, {Name: "second", Models: []string{"second/m-1"}, Remote: true},
		{Name: "local", Models: []string{"local/canvas"}},
	}
	described := f.module.Describe()
	for i := range described {
		described[i].Note, described[i].Endpoint = "", nil
	}
	if diff := cmp.Diff(want, described); diff != "" {
		t.Error(diff)
	}
}

func TestDownloadsNeedAPicture(t *testing.T) {
	f := start(t, Config{})
	id := f.generate(testkit.User(1), nil)
	link := f.do("GET", "/image/"+id+"/download?redirect=false", testkit.User(1), nil).JSON(t)
	redirected := f.do("GET", "/image/"+id+"/download", testkit.User(1), nil)
	key := "/files/images/" + f.record(id).S3Key + "?expires="
	if url, _ := link["download_url"].(string); !strings.Contains(url, key) || link["expires_in"] != float64(300) {
		t.Errorf("link %v", link)
	}
	if !strings.Contains(redirected.Header.Get("Location"), key) {
		t.Errorf("redirected to %q", redirected.Header.Get("Location"))
	}
	waiting, failed := blank(owner(1), at), blank(owner(1), at)
	failed.Status, failed.Failure = StatusFailed, Failure{Code: "provider_timeout", Detail: "Too slow."}
	mustCreate(t, f.module.service.repository, waiting, failed)
	for id, want := range map[string]string{waiting.ID: "", failed.ID: "provider_timeout"} {
		answer := f.do("GET", "/image/"+id+"/download", testkit.User(1), nil)
		reason, _ := answer.JSON(t)["error"].(map[string]any)
		if answer.Status != 409 || answer.Code() != "not_ready" || want != "" && reason["code"] != want {
			t.Errorf("%d %s", answer.Status, answer.Body)
		}
		if body := f.do("GET", "/image/"+id, testkit.User(1), nil).JSON(t); body["download_url"] != nil || body["s3_key"] != nil {
			t.Errorf("links of an image without a picture: %v", body)
		}
	}
}

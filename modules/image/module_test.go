package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"image/png"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/database"
	"llmhist/platform/history"
	"llmhist/platform/identity"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
	"llmhist/platform/usage"
)

func TestAnImageIsMadeStoredAndFound(t *testing.T) {
	f := start(t, Config{})
	answer := f.do("POST", "/image/generate", testkit.User(1), map[string]any{
		"prompt": "  a red fox\r\nat dawn ", "size": "96x64", "style": "flow", "seed": 7, "negative_prompt": "fog", "model": "local/canvas",
	})
	if answer.Status != http.StatusCreated {
		t.Fatalf("status %d: %s", answer.Status, answer.Body)
	}
	made := answer.JSON(t)
	id, _ := made["id"].(string)
	if got := answer.Header.Get("Location"); got != "/image/"+id || !uid.Valid(id) {
		t.Errorf("Location %q", got)
	}
	if created, _ := uid.Time(id); made["created_at"] != "2026-11-23T10:00:00Z" || !created.Equal(f.clock.Now()) {
		t.Errorf("created at %v", made["created_at"])
	}
	prefix := "requests/2026/11/23/" + id
	for member, want := range map[string]any{
		"prompt": "a red fox\nat dawn", "size": "96x64", "style": "flow", "negative_prompt": "fog", "status": "completed",
		"user_id": float64(1), "s3_key": prefix + "/image/original.png",
	} {
		if made[member] != want {
			t.Errorf("%s is %v, want %v", member, made[member], want)
		}
	}
	metadata, _ := made["metadata"].(map[string]any)
	for member, want := range map[string]any{
		"provider": "local", "model": "local/canvas", "content_type": "image/png", "source_content_type": "image/png",
		"width": float64(96), "height": float64(64), "seed": float64(7),
	} {
		if metadata[member] != want {
			t.Errorf("metadata.%s is %v, want %v", member, metadata[member], want)
		}
	}
	want := []string{prefix + "/image/original.png", prefix + "/input.json", prefix + "/record.json"}
	if diff := cmp.Diff(want, f.objects("requests/")); diff != "" {
		t.Error(diff)
	}
	data := f.read(prefix + "/image/original.png")
	decoded, err := png.Decode(bytes.NewReader(data))
	if err != nil || decoded.Bounds().Dx() != 96 || decoded.Bounds().Dy() != 64 {
		t.Errorf("not the picture: %v", err)
	}
	sum := sha256.Sum256(data)
	if metadata["file_size_bytes"] != float64(len(data)) || metadata["sha256"] != hex.EncodeToString(sum[:]) {
		t.Errorf("metadata %v for %d bytes", metadata, len(data))
	}
	line := `{"id":"` + id + `","record":"` + prefix + `/record.json","created_at":"2026-11-23T10:00:00Z"}` + "\n"
	if got := string(f.read("users/1/image/history/2026/11/23.jsonl")); got != line {
		t.Errorf("index %q", got)
	}
	if again := f.do("GET", "/image/"+id, testkit.User(1), nil); again.Status != 200 || again.JSON(t)["s3_key"] != made["s3_key"] {
		t.Errorf("found %d %s", again.Status, again.Body)
	}
}

func TestASeedMakesThePictureAgain(t *testing.T) {
	f := start(t, Config{})
	first := f.generate(testkit.User(1), nil)
	record := f.record(first)
	if record.Seed == nil {
		t.Fatal("no seed was recorded")
	}
	again := f.generate(testkit.User(1), map[string]any{"seed": *record.Seed})
	other := f.generate(testkit.User(1), map[string]any{"seed": (*record.Seed + 1) % maxSeed})
	if f.record(again).SHA256 != record.SHA256 || f.record(other).SHA256 == record.SHA256 {
		t.Error("the seed does not decide the picture")
	}
}

func TestDocumentsHoldWhatTheRowIsMadeFrom(t *testing.T) {
	f := start(t, Config{})
	id := f.generate(testkit.User(4), map[string]any{"seed": 9, "style": "pixel", "negative_prompt": "fog", "model": "local/canvas"})
	var input Input
	if err := json.Unmarshal(f.read(history.InputKey(id)), &input); err != nil {
		t.Fatal(err)
	}
	seed, user := int64(9), int64(4)
	wantInput := Input{
		Prompt: "a red fox", NegativePrompt: "fog", Size: "64x64", Style: "pixel", Seed: &seed, Model: "local/canvas",
		UserID: &user, RequestID: input.RequestID, CreatedAt: f.clock.Now(),
	}
	if diff := cmp.Diff(wantInput, input); diff != "" || input.RequestID == "" {
		t.Error(diff)
	}
	row, err := f.module.service.repository.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(row, f.record(id).image()); diff != "" {
		t.Error(diff)
	}
}

func TestBadRequestsStoreNothingAndAskNobody(t *testing.T) {
	u := serveUpstream(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	config := u.as(typeOpenAI)
	config.Upstreams[0].Sizes = []string{"1024x1024", "512x512"}
	config.Upstreams = append(config.Upstreams, Upstream{Name: "step", BaseURL: u.URL, DefaultModel: "s", SizeStep: 16})
	config.Providers = []string{"fake", "step", "local"}
	f := start(t, config)
	long := strings.Repeat("猫", 4001)
	for name, c := range map[string]struct {
		body   any
		status int
		want   string // "field:code …" or the problem's code
	}{
		"no prompt":            {`{}`, 422, "prompt:required"},
		"an empty prompt":      {`{"prompt":" \n "}`, 422, "prompt:required"},
		"null as prompt":       {`{"prompt":null}`, 422, "prompt:required"},
		"a huge prompt":        {map[string]any{"prompt": long}, 422, "prompt:too_long"},
		"a NUL":                {`{"prompt":"a\u0000b"}`, 422, "prompt:invalid_character"},
		"an escape character":  {`{"prompt":"a\u001bb"}`, 422, "prompt:invalid_character"},
		"a C1 control":         {`{"prompt":"a\u0085b"}`, 422, "prompt:invalid_character"},
		"a lone return":        {`{"prompt":"a\rb"}`, 422, "prompt:invalid_character"},
		"a huge negative":      {map[string]any{"prompt": "a", "negative_prompt": long}, 422, "negative_prompt:too_long"},
		"a bell in a negative": {`{"prompt":"a","negative_prompt":"\u0007"}`, 422, "negative_prompt:invalid_character"},
		"an absurd size":       {`{"prompt":"a","size":"99999x1"}`, 422, "size:out_of_range"},
		"a tiny size":          {`{"prompt":"a","size":"63x64"}`, 422, "size:out_of_range"},
		"a size with a sign":   {`{"prompt":"a","size":"+64x64"}`, 422, "size:invalid"},
		"a size in words":      {`{"prompt":"a","size":"large"}`, 422, "size:invalid"},
		"a size not offered":   {`{"prompt":"a","size":"256x256"}`, 422, "size:unsupported"},
		"an odd size":          {`{"prompt":"a","size":"520x512","model":"s"}`, 422, "size:unsupported"},
		"a size as a number":   {`{"prompt":"a","size":512}`, 422, "size:wrong_type"},
		"a long style":         {map[string]any{"prompt": "a", "style": strings.Repeat("x", 101)}, 422, "style:too_long"},
		"a style with a NUL":   {`{"prompt":"a","style":"\u0000"}`, 422, "style:invalid_character"},
		"an unknown style":     {`{"prompt":"a","style":"oil","model":"local/canvas"}`, 422, "style:unsupported"},
		"a negative seed":      {`{"prompt":"a","seed":-1}`, 422, "seed:out_of_range"},
		"a huge seed":          {`{"prompt":"a","seed":2147483648}`, 422, "seed:out_of_range"},
		"a broken seed":        {`{"prompt":"a","seed":1.5}`, 422, "seed:wrong_type"},
		"an unknown model":     {`{"prompt":"a","model":"dall-e-2"}`, 422, "model:unknown_model"},
		"a provider as model":  {`{"prompt":"a","model":"fake"}`, 422, "model:unknown_model"},
		"another's model":      {`{"prompt":"a","model":"local/m-1"}`, 422, "model:unknown_model"},
		"a model in capitals":  {`{"prompt":"a","model":"M-1"}`, 422, "model:unknown_model"},
		"an unknown field":     {`{"prompt":"a","n":2}`, 422, "n:unknown_field"},
		"several at once": {`{"prompt":"","size":"1x1","seed":-1,"model":"x","negative_prompt":"\u0001"}`, 422,
			"prompt:required negative_prompt:invalid_character seed:out_of_range model:unknown_model size:out_of_range"},
		"malformed JSON": {`{"prompt":`, 400, "malformed_json"},
		"no body":        {``, 400, "malformed_json"},
		"a huge body":    {`{"prompt":"` + strings.Repeat("a", 2<<20) + `"}`, 413, "body_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := f.do("POST", "/image/generate", testkit.User(1), c.body)
			var problem struct {
				Code   string
				Errors []struct{ Field, Code, Message string }
			}
			if err := json.Unmarshal(answer.Body, &problem); err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, field := range problem.Errors {
				got = append(got, field.Field+":"+field.Code)
			}
			if len(got) == 0 {
				got = []string{problem.Code}
			}
			if strings.Join(got, " ") != c.want || answer.Status != c.status {
				t.Errorf("%d %v, want %d %s", answer.Status, got, c.status, c.want)
			}
		})
	}
	if objects := f.objects(""); len(objects) != 0 || f.rows() != 0 || u.calls.Load() != 0 {
		t.Errorf("stored %v and %d rows, asked %d times", objects, f.rows(), u.calls.Load())
	}
	answer := f.do("POST", "/image/generate", testkit.Nobody, `{"prompt":"a","style":"oil","model":"local/local/canvas"}`)
	if !bytes.Contains(answer.Body, []byte("watercolor")) {
		t.Errorf("the styles are not listed: %s", answer.Body)
	}
	if answer = f.do("POST", "/image/generate", testkit.Nobody, `{"prompt":"a","model":"x"}`); !bytes.Contains(answer.Body, []byte("GET /image/models")) {
		t.Errorf("the way to the models is not named: %s", answer.Body)
	}
}

func TestWhoSeesWhat(t *testing.T) {
	f := start(t, Config{})
	mine, anonymous := f.generate(testkit.User(1), nil), f.generate(testkit.Nobody, nil)
	unknown := uid.New(f.clock.Now())
	everyone := []testkit.Caller{testkit.User(1), testkit.User(2), testkit.Admin(3), testkit.Nobody}
	for _, c := range []struct {
		method, path string
		want         []int // owner, another user, admin, anonymous
	}{
		{"GET", "/image/" + mine, []int{200, 404, 200, 404}},
		{"GET", "/image/" + mine + "/download", []int{302, 404, 302, 404}},
		{"GET", "/image/" + anonymous, []int{200, 200, 200, 200}},
		{"GET", "/image/" + anonymous + "/download?redirect=false", []int{200, 200, 200, 200}},
		{"GET", "/image/" + unknown, []int{404, 404, 404, 404}},
		{"GET", "/image/" + strings.ToUpper(mine), []int{404, 404, 404, 404}},
		{"GET", "/image/x", []int{404, 404, 404, 404}},
		{"GET", "/image/x/download", []int{404, 404, 404, 404}},
		{"GET", "/image", []int{200, 200, 200, 401}},
		{"GET", "/image/models", []int{200, 200, 200, 200}},
		{"GET", "/admin/images", []int{200, 200, 200, 401}},
		{"DELETE", "/image/x", []int{404, 404, 404, 401}},
		{"DELETE", "/image/" + unknown, []int{404, 404, 404, 401}},
		{"DELETE", "/image/" + anonymous, []int{403, 403, 204, 401}},
		{"DELETE", "/image/" + mine, []int{204, 404, 404, 401}},
	} {
		for i, caller := range everyone {
			if got := f.do(c.method, c.path, caller, nil); got.Status != c.want[i] {
				t.Errorf("%s %s as %q: %d, want %d", c.method, c.path, caller, got.Status, c.want[i])
			}
		}
	}
	hidden := f.generate(testkit.User(1), nil)
	same := regexpID.ReplaceAllString(string(f.do("GET", "/image/"+hidden, testkit.User(2), nil).Body), "")
	if other := regexpID.ReplaceAllString(string(f.do("GET", "/image/"+unknown, testkit.User(2), nil).Body), ""); same != other {
		t.Errorf("an invisible image differs from an unknown one:\n%s\n%s", same, other)
	}
	for _, path := range []string{"/image/" + hidden, "/image/generate"} {
		method := map[bool]string{true: "POST", false: "GET"}[path == "/image/generate"]
		if got := f.do(method, path, "broken", map[string]any{"prompt": "x"}); got.Status != 401 {
			t.Errorf("a credential that is not valid makes anonymous: %d", got.Status)
		}
	}
}

// regexpID matches what differs between two problems of one kind.
var regexpID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

func TestFiftyAtOnceAllAreKept(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		f := startOn(t, Config{}, db, &brittle{Bucket: testkit.Bucket(t, "images")})
		ids := make([]string, 50)
		var group sync.WaitGroup
		for i := range ids {
			group.Go(func() { ids[i] = f.generate(testkit.User(1), nil) })
		}
		group.Wait()
		lines := f.lines("users/1/image/history/")
		slices.Sort(ids)
		slices.Sort(lines)
		if diff := cmp.Diff(ids, lines); diff != "" {
			t.Error(diff)
		}
		for _, id := range ids {
			if f.record(id).Status != StatusCompleted {
				t.Errorf("%s is not completed", id)
			}
		}
		if n := f.rows(); n != 50 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestUsageIsReported(t *testing.T) {
	f := start(t, Config{})
	ctx, record := usage.Begin(identity.With(t.Context(), identity.Identity{UserID: 1}))
	image, err := f.module.service.Generate(ctx, Params{Prompt: "fünf", Size: "64x64"})
	if err != nil {
		t.Fatal(err)
	}
	want := usage.Figures{Provider: "local", Model: "local/canvas", InputBytes: 5, OutputBytes: image.Media.Bytes, ObjectID: image.ID}
	if diff := cmp.Diff(want, record.Figures()); diff != "" || image.Media.Bytes == 0 {
		t.Error(diff)
	}
}

func TestUsageIsOfAllPicturesOfARequest(t *testing.T) {
	u := serveUpstream(t, answerJSON(200, `{"data":[{"b64_json":"`+encoded(pngBytes(t))+`"}],"usage":{"input_tokens":3,"output_tokens":40}}`))
	f := start(t, u.as(typeOpenAI))
	ctx, record := usage.Begin(identity.With(t.Context(), identity.Identity{UserID: 1}))
	images, err := f.module.service.GenerateSeveral(ctx, Params{Prompt: "fünf"}, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := usage.Figures{
		Provider: images[2].Provider, Model: images[2].Model, InputBytes: 5, ObjectID: images[2].ID,
		InputTokens: 9, OutputTokens: 120, OutputBytes: images[0].Media.Bytes + images[1].Media.Bytes + images[2].Media.Bytes,
	}
	if diff := cmp.Diff(want, record.Figures()); diff != "" {
		t.Error(diff)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"llmhist/config"
	"llmhist/modules/speech"
	"llmhist/platform/audio"
)

// A mark is in every body of these tests: whose it is, and of which request.
var markPattern = regexp.MustCompile(`mark-(\w+)-(\d+)-end`)

func mark(owner string, n int64) string { return fmt.Sprintf("mark-%s-%d-end", owner, n) }

// echo is a provider of chat and speech that answers with what it was asked
// last, in pieces, so that a stream can be left in its middle.
func echo(t *testing.T) string {
	t.Helper()
	sound, err := audio.EncodeWAV(make([]byte, 1600), 8000, 1)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Messages []struct{ Content string } }
		_ = json.NewDecoder(r.Body).Decode(&asked)
		if len(asked.Messages) == 0 {
			w.Header().Set("Content-Type", "audio/wav")
			_, _ = w.Write(sound)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for piece := range strings.SplitAfterSeq(asked.Messages[len(asked.Messages)-1].Content, " ") {
			fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", piece)
			_ = http.NewResponseController(w).Flush()
		}
		fmt.Fprint(w, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// leaver sends requests of several users and leaves many of them.
type leaver struct {
	*server
	tokens   map[string]string // by user; "" has none
	users    []string          // those with an account twice, for they can do more
	sequence atomic.Int64
	answered atomic.Int64
	left     atomic.Int64
	sessions sync.Map // user → a session to go on with
}

func TestWhoLeavesIsNeverAnsweredToSomebodyElse(t *testing.T) { leave(t, 2000) }

// leave sends requests and leaves two of three before, in or after the body, or
// in the middle of the answer.
func leave(t *testing.T, requests int64) {
	upstream, dir := echo(t), t.TempDir()
	s := bootIn(t, dir, withRemote(upstream), func(c *config.Config) {
		c.Speech.Providers = []string{"echo"}
		c.Speech.Upstreams = []speech.Upstream{{Name: "echo", BaseURL: upstream, DefaultModel: "echo-1"}}
		c.Log.Level = "error"
	})
	l := &leaver{server: s, tokens: map[string]string{"nobody": ""}, users: []string{"nobody"}}
	ids := map[string]int64{}
	for _, name := range []string{"ada", "bob", "eve", "kim"} {
		l.tokens[name], ids[name] = s.newUser(name)
		l.users = append(l.users, name, name)
	}
	start := time.Now()
	var group sync.WaitGroup
	for range 24 {
		client := &http.Client{Transport: &http.Transport{}}
		group.Go(func() {
			defer client.CloseIdleConnections()
			for n := l.sequence.Add(1); n <= requests; n = l.sequence.Add(1) {
				l.one(client, l.users[rand.N(len(l.users))], n)
			}
		})
	}
	group.Wait()
	t.Logf("%d requests in %s: %d answered, %d left", requests, time.Since(start).Round(time.Millisecond), l.answered.Load(), l.left.Load())
	if l.answered.Load() < requests/5 || l.left.Load() < requests/5 {
		t.Error("too few were answered or left for the test to mean anything")
	}
	for name := range ids {
		l.checkLists(name)
	}
	l.checkRecords(dir, ids)
}

// one makes a request, most of the time to leave it at some point.
func (l *leaver) one(client *http.Client, user string, n int64) {
	path, body := l.pick(user, n)
	data, err := json.Marshal(body)
	if err != nil {
		l.t.Error(err)
		return
	}
	switch rand.N(6) {
	case 0:
		l.leaveInBody(user, path, data, 0) // before the body
	case 1:
		l.leaveInBody(user, path, data, rand.N(len(data)))
	case 2: // while it is worked on, or before it is
		ctx, cancel := context.WithTimeout(l.t.Context(), rand.N(8*time.Millisecond))
		defer cancel()
		l.exchange(ctx, client, user, n, path, data, -1)
	case 3: // in the middle of the answer
		l.exchange(l.t.Context(), client, user, n, path, data, 1+rand.N(int64(200)))
	default:
		l.exchange(l.t.Context(), client, user, n, path, data, -1)
	}
}

// pick returns a request of a user that carries its mark.
func (l *leaver) pick(user string, n int64) (path string, body object) {
	text := mark(user, n)
	kind := rand.N(20)
	switch {
	case kind == 0 || user == "nobody" && kind < 10:
		return "/image/generate", object{"prompt": text, "size": "64x64", "style": "pixel"}
	case kind == 1 || user == "nobody":
		return "/speech/generate", object{"text": text, "format": "wav"}
	}
	chat := object{"message": "please repeat " + text + " and " + text, "stream": kind%2 == 0}
	if session, known := l.sessions.Load(user); known && kind < 10 {
		chat["session_id"] = session
	}
	return "/chat", chat
}

// leaveInBody sends the head of a request and part of its body, and goes.
func (l *leaver) leaveInBody(user, path string, data []byte, part int) {
	l.left.Add(1)
	connection, err := net.Dial("tcp", strings.TrimPrefix(l.url, "http://"))
	if err != nil {
		l.t.Error(err)
		return
	}
	defer func() { _ = connection.Close() }()
	head := "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(data)) + "\r\n"
	if token := l.tokens[user]; token != "" {
		head += "Authorization: Bearer " + token + "\r\n"
	}
	_, _ = connection.Write(append([]byte(head+"\r\n"), data[:part]...))
}

// exchange reads as much of the answer as it is to, or all for -1, and holds
// every mark in it against the request's own.
func (l *leaver) exchange(ctx context.Context, client *http.Client, user string, n int64, path string, data []byte, upTo int64) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+path, bytes.NewReader(data))
	if err != nil {
		l.t.Error(err)
		return
	}
	request.Header.Set("Content-Type", "application/json")
	if token := l.tokens[user]; token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		l.leftOr(ctx, err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	source := io.Reader(response.Body)
	if upTo >= 0 {
		source = io.LimitReader(source, upTo)
	}
	answer, err := io.ReadAll(source)
	for _, found := range markPattern.FindAllString(string(answer), -1) {
		if found != mark(user, n) {
			l.t.Errorf("the answer to %s carries %s", mark(user, n), found)
		}
	}
	switch {
	case err != nil:
		l.leftOr(ctx, err)
	case upTo >= 0:
		l.left.Add(1)
	case response.StatusCode >= 300:
		l.t.Errorf("%s: %d %.300s", path, response.StatusCode, answer)
	case !strings.Contains(string(answer), mark(user, n)):
		l.t.Errorf("%s: the answer does not carry its mark: %.300s", path, answer)
	default:
		l.answered.Add(1)
		l.remember(user, path, answer)
	}
}

func (l *leaver) leftOr(ctx context.Context, err error) {
	l.left.Add(1)
	if ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
		l.t.Errorf("a request that nobody left failed: %v", err)
	}
}

func (l *leaver) remember(user, path string, answer []byte) {
	var made struct {
		SessionID string `json:"session_id"`
	}
	if path == "/chat" && json.Unmarshal(answer, &made) == nil && made.SessionID != "" && rand.N(10) == 0 {
		l.sessions.Store(user, made.SessionID)
	}
}

// checkLists walks through everything a user sees: all of it is finished, and
// bears no mark of anybody else.
func (l *leaver) checkLists(user string) {
	l.t.Helper()
	found := 0
	for list, path := range map[string]string{"images": "/image", "speech": "/speech", "sessions": "/chat/sessions"} {
		for page := 1; ; page++ {
			answer := l.eventually(user, fmt.Sprintf("%s?per_page=100&page=%d", path, page))
			var members map[string]json.RawMessage
			if err := json.Unmarshal(answer, &members); err != nil {
				l.t.Fatal(err)
			}
			var entries []struct{ ID string }
			if err := json.Unmarshal(members[list], &entries); err != nil {
				l.t.Fatalf("%s of %s: %v", list, path, err)
			}
			found += len(entries)
			if list == "sessions" {
				for i, one := range entries {
					if i%5 == 0 || len(entries) < 100 { // each has its own messages; a part of them is enough
						l.eventually(user, path+"/"+one.ID+"?per_page=100")
					}
				}
			}
			if len(entries) < 100 {
				break
			}
		}
	}
	if found == 0 {
		l.t.Errorf("%s sees nothing at all", user)
	}
}

// eventually returns an answer once nothing in it is being worked on, and holds
// its marks against their owner.
func (l *leaver) eventually(user, path string) []byte {
	l.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		answer := l.do("GET", path, l.tokens[user], nil)
		answer.want(200)
		if !bytes.Contains(answer.body, []byte(`"processing"`)) {
			for _, found := range markPattern.FindAllSubmatch(answer.body, -1) {
				if string(found[1]) != user {
					l.t.Errorf("%s of %s shows %s", path, user, found[0])
				}
			}
			return answer.body
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s of %s is not finished: %.300s", path, user, answer.body)
		}
	}
}

// checkRecords holds every stored record against its owner.
func (l *leaver) checkRecords(dir string, ids map[string]int64) {
	l.t.Helper()
	checked := 0
	for _, bucket := range []string{"llmhist-image-dev", "llmhist-speech-dev"} {
		records, _ := storedRequests(l.t, filepath.Join(dir, "objects", bucket))
		for id, record := range records {
			data, err := json.Marshal(record)
			if err != nil {
				l.t.Fatal(err)
			}
			owner, _ := record["user_id"].(float64) // 0 = nobody
			for _, found := range markPattern.FindAllSubmatch(data, -1) {
				checked++
				if ids[string(found[1])] != int64(owner) {
					l.t.Errorf("record %s of user %v carries %s", id, owner, found[0])
				}
			}
			if status := record["status"]; status != "completed" && status != "cancelled" && status != "failed" {
				l.t.Errorf("record %s is %v", id, status)
			}
		}
	}
	if checked == 0 {
		l.t.Error("no record bears a mark")
	}
}

// storedRequests reads the records and counts the index lines of a bucket. A
// request directory without a record is reported as one with none.
func storedRequests(t *testing.T, bucket string) (records map[string]object, lines map[string]int) {
	t.Helper()
	records, lines = map[string]object{}, map[string]int{}
	err := filepath.WalkDir(bucket, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch {
		case strings.HasSuffix(path, "/record.json"):
			var record object
			if err := json.Unmarshal(data, &record); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			records[filepath.Base(filepath.Dir(path))] = record
		case strings.HasSuffix(path, "/input.json"):
			id := filepath.Base(filepath.Dir(path))
			if records[id] == nil {
				records[id] = object{}
			}
		case strings.HasSuffix(path, ".jsonl"):
			for line := range strings.Lines(string(data)) {
				var entry struct{ ID string }
				if err := json.Unmarshal([]byte(line), &entry); err != nil {
					return fmt.Errorf("%s: %w: %q", path, err, line)
				}
				lines[entry.ID]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records, lines
}

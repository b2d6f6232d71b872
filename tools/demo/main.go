// Command demo walks the main journey against a running llmhist as a new user
// would: it registers, signs in, makes an image, speaks a text, holds a chat,
// lists the images as admin and as user, and prints the usage that all of it
// left. It makes an admin of its own for the listing and erases it again, unless
// it is the only one.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

func main() {
	url := flag.String("url", "http://127.0.0.1:8080", "address of the running server")
	binary := flag.String("binary", "bin/llmhist", "the llmhist binary, to make an admin with")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := demo(ctx, strings.TrimSuffix(*url, "/"), *binary, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// walk holds what the steps of the journey share.
type walk struct {
	ctx    context.Context
	base   string
	out    io.Writer
	suffix string
}

func demo(ctx context.Context, base, binary string, out io.Writer) error {
	w := &walk{ctx: ctx, base: base, out: out, suffix: strings.ToLower(rand.Text()[:8])}
	if err := w.call("GET", "/readyz", "", nil, nil); err != nil {
		return fmt.Errorf("%w\nIs the server running? Start it with make run in another shell", err)
	}
	user, err := w.newUser()
	if err != nil {
		return err
	}
	for _, step := range []func(token string) error{w.image, w.speech, w.chat} {
		if err := step(user); err != nil {
			return err
		}
	}
	if err := w.lists(user, binary); err != nil {
		return err
	}
	return w.usage(user)
}

func (w *walk) say(format string, args ...any) { fmt.Fprintf(w.out, format+"\n", args...) }

func (w *walk) newUser() (token string, err error) {
	email, password := "demo-"+w.suffix+"@example.com", rand.Text()
	var account struct {
		ID int64 `json:"id"`
	}
	if err := w.call("POST", "/auth/register", "", fields{"email": email, "password": password, "name": "Demo"}, &account); err != nil {
		return "", err
	}
	w.say("registered   %s, user id %d", email, account.ID)
	return w.signIn(email, password)
}

func (w *walk) signIn(email, password string) (string, error) {
	var session struct {
		AccessToken string `json:"accessToken"`
		ExpiresIn   int    `json:"expiresIn"`
	}
	err := w.call("POST", "/auth/login", "", fields{"email": email, "password": password}, &session)
	if err == nil {
		w.say("signed in    %s, the access token works for %d s", email, session.ExpiresIn)
	}
	return session.AccessToken, err
}

func (w *walk) image(token string) error {
	var made struct {
		ID, Status  string
		DownloadURL string `json:"download_url"`
		Metadata    struct {
			Provider, Model  string
			Width, Height    int
			FileSizeBytes    int `json:"file_size_bytes"`
			ProcessingTimeMs int `json:"processing_time_ms"`
		}
	}
	err := w.call("POST", "/image/generate", token, fields{"prompt": "a lighthouse over a calm sea at sunset", "size": "512x512"}, &made)
	if err != nil {
		return err
	}
	picture, err := w.download(made.DownloadURL)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(picture, []byte("\x89PNG\r\n\x1a\n")) {
		return errors.New("the download is not a PNG")
	}
	w.say("image        %s: %dx%d PNG of %d bytes in %d ms by %s (%s)", made.ID, made.Metadata.Width, made.Metadata.Height,
		len(picture), made.Metadata.ProcessingTimeMs, made.Metadata.Model, made.Metadata.Provider)
	return nil
}

func (w *walk) speech(token string) error {
	var spoken struct {
		ID, Model string
		AudioURL  string  `json:"audio_url"`
		Duration  float64 `json:"duration_seconds"`
		Metadata  struct{ Provider string }
	}
	if err := w.call("POST", "/speech/generate", token, fields{"text": "Hello from your own server.", "language": "en"}, &spoken); err != nil {
		return err
	}
	sound, err := w.download(spoken.AudioURL)
	if err != nil {
		return err
	}
	w.say("speech       %s: %.2f s of sound, %d bytes by %s (%s)", spoken.ID, spoken.Duration, len(sound), spoken.Model, spoken.Metadata.Provider)
	return nil
}

func (w *walk) chat(token string) error {
	var answer struct {
		SessionID string `json:"session_id"`
		Content   string
		Provider  string
		Model     string
		Tokens    struct{ Input, Output, Total int }
	}
	for _, message := range []string{"How do I make an API key?", "And how do I see what I used?"} {
		body := fields{"message": message}
		if answer.SessionID != "" {
			body["session_id"] = answer.SessionID
		}
		if err := w.call("POST", "/chat", token, body, &answer); err != nil {
			return err
		}
		w.say("chat         %q → %q, %d tokens by %s (%s)", message, shorten(answer.Content), answer.Tokens.Total, answer.Model, answer.Provider)
	}
	return nil
}

func (w *walk) lists(user, binary string) error {
	email, password := "demo-admin-"+w.suffix+"@example.com", rand.Text()
	create := exec.CommandContext(w.ctx, binary, "admin", "create", "--email", email, "--name", "Demo admin")
	create.Stdin = strings.NewReader(password + "\n")
	create.Stderr = os.Stderr
	if err := create.Run(); err != nil {
		return fmt.Errorf("%s admin create: %w\nIt must run where the server's data directory is; set DATA_DIR as for the server", binary, err)
	}
	admin, err := w.signIn(email, password)
	if err != nil {
		return fmt.Errorf("%w\nThe admin was made in another data directory than the server's: give this command the server's DATA_DIR", err)
	}
	for who, token := range map[string]string{"admin": admin, "user": user} {
		var page struct {
			Total  int
			Images []struct{ ID, Prompt string }
		}
		if err := w.call("GET", "/admin/images?per_page=5", token, nil, &page); err != nil {
			return err
		}
		w.say("list         as %s: %d of %d images, the newest %q", who, len(page.Images), page.Total, page.Images[0].Prompt)
	}
	err = w.call("DELETE", "/users/me", admin, nil, nil)
	if err != nil && strings.Contains(err.Error(), `"last_admin"`) {
		w.say("admin        kept, as it is the only one: sign in as %s with the password %s", email, password)
		return nil
	}
	return err
}

func (w *walk) usage(token string) error {
	var usage struct {
		TotalRequests int     `json:"total_requests"`
		SuccessRate   float64 `json:"success_rate"`
		CostUSD       float64 `json:"cost_usd"`
		Bytes         int64
		Tokens        struct{ Total int }
		Services      map[string]struct {
			Requests int
			Failed   int
		}
	}
	if err := w.call("GET", "/analytics/user/me", token, nil, &usage); err != nil {
		return err
	}
	w.say("usage        %d requests (chat %d, image %d, speech %d), success rate %.2f, %d tokens, %d bytes, %.4f USD",
		usage.TotalRequests, usage.Services["chat"].Requests, usage.Services["image"].Requests, usage.Services["speech"].Requests,
		usage.SuccessRate, usage.Tokens.Total, usage.Bytes, usage.CostUSD)
	if usage.TotalRequests != 4 {
		return fmt.Errorf("analytics counted %d requests, not the 4 that were made", usage.TotalRequests)
	}
	w.say("\nEverything above is kept on this server: see %s/docs for the routes that read it.", w.base)
	return nil
}

type fields map[string]any

// call sends a request and reads the JSON answer into out unless it is nil.
func (w *walk) call(method, path, token string, body fields, out any) error {
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(w.ctx, method, w.base+path, reader)
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(response.Body, 8<<20))
	if err != nil {
		return err
	}
	if response.StatusCode > 299 {
		return fmt.Errorf("%s %s: %s %s", method, path, response.Status, data)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}

func (w *walk) download(url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(w.ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("download: %s", response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, 64<<20))
}

func shorten(text string) string {
	line := strings.Join(strings.Fields(text), " ")
	if runes := []rune(line); len(runes) > 70 {
		return string(runes[:70]) + "…"
	}
	return line
}

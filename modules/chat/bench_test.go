package chat

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"llmhist/platform/testkit"
)

// BenchmarkExchange begins and finishes an exchange in one session.
func BenchmarkExchange(b *testing.B) {
	for name, open := range map[string]func(testing.TB) repository{
		"sqlite":   func(t testing.TB) repository { return gormRepository{testkit.SQLite(t)} },
		"postgres": func(t testing.TB) repository { return gormRepository{testkit.Postgres(t)} },
		"mongo":    func(t testing.TB) repository { return mongoStore(t, testkit.Mongo(t)) },
	} {
		b.Run(name, func(b *testing.B) {
			r, s := open(b), newSession(1, epoch)
			must(b, r.CreateSession(b.Context(), s))
			for b.Loop() {
				exchange := begin(s, "question", epoch)
				must(b, r.BeginExchange(b.Context(), exchange))
				must(b, r.FinishAnswer(b.Context(), finished(exchange, "answer", epoch)))
			}
		})
	}
}

// BenchmarkRelay reads a stream of a hundred chunks and sends it on.
func BenchmarkRelay(b *testing.B) {
	chunk := `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1767225600,"model":"demo-1",` +
		`"choices":[{"index":0,"delta":{"content":"The quick "},"finish_reason":null}],"usage":null}` + "\n\n"
	stream := strings.Repeat(chunk, 100) + "data: [DONE]\n\n"
	for b.Loop() {
		run := &completing{
			answering: newAnswering(&service{maxAnswer: 1 << 20}, nil, message{ID: "a"}), request: completionAsk{Stream: true},
			client: silentClient{}, said: spoken{},
		}
		run.spoke = true
		reader := completionReader{completing: run, answerReader: answerReader{flush: run.flush}}
		body := io.NopCloser(strings.NewReader(stream))
		response := &http.Response{Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: body}
		if _, err := reader.read(b.Context(), response); err != nil {
			b.Fatal(err)
		}
	}
}

type silentClient struct{}

func (silentClient) send(*message, []byte) error  { return nil }
func (silentClient) flush() error                 { return nil }
func (silentClient) whole(*message, []byte) error { return nil }

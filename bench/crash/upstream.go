package crash

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// upstream is a provider of chat and speech on this machine. Whoever knows the
// question knows the answer, byte for byte.
type upstream struct {
	url    string
	server *http.Server
}

// pieceEvery spreads a streamed answer over time, so that kills fall into it.
const pieceEvery = 2 * time.Millisecond

func startUpstream() (*upstream, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", answerChat)
	mux.HandleFunc("POST /v1/audio/speech", answerSpeech)
	u := &upstream{url: "http://" + listener.Addr().String() + "/v1", server: &http.Server{Handler: mux, ReadHeaderTimeout: patience}}
	go func() { _ = u.server.Serve(listener) }() // ends with close
	return u, nil
}

func (u *upstream) close() error {
	err := u.server.Close()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// answerTo is what the provider says to a message.
func answerTo(message string) string {
	sum := sha256.Sum256([]byte(message))
	var text strings.Builder
	for i := range sum {
		fmt.Fprintf(&text, "%s-%02x ünïcode ", message, sum[i])
	}
	return strings.TrimSpace(text.String())
}

func answerChat(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Stream   bool
		Messages []struct{ Role, Content string }
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&asked); err != nil || len(asked.Messages) == 0 {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	text := answerTo(asked.Messages[len(asked.Messages)-1].Content)
	if !asked.Stream {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(object{
			"choices": []object{{"index": 0, "message": object{"role": "assistant", "content": text}, "finish_reason": "stop"}},
			"usage":   object{"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
		})
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, word := range strings.SplitAfter(text, " ") {
		piece, _ := json.Marshal(word)
		if _, err := fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%s}}]}\n\n", piece); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-time.After(pieceEvery):
		case <-r.Context().Done():
			return
		}
	}
	_, _ = io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"+
		"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}}\n\ndata: [DONE]\n\n")
}

func answerSpeech(w http.ResponseWriter, r *http.Request) {
	var asked struct{ Input string }
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&asked); err != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "audio/wav")
	_, _ = w.Write(spoken(asked.Input))
}

// spoken is the sound of a text: a tenth of a second of WAV, 16 bit mono at
// 8 kHz, whose samples follow from the text.
func spoken(text string) []byte {
	const rate, samples = 8000, 800
	le := binary.LittleEndian
	wav := le.AppendUint32([]byte("RIFF"), 36+2*samples)
	wav = le.AppendUint32(append(wav, "WAVEfmt "...), 16)
	wav = le.AppendUint16(le.AppendUint16(wav, 1), 1) // PCM, one channel
	wav = le.AppendUint32(le.AppendUint32(wav, rate), 2*rate)
	wav = le.AppendUint16(le.AppendUint16(wav, 2), 16)
	wav = le.AppendUint32(append(wav, "data"...), 2*samples)
	sum := sha256.Sum256([]byte(text))
	for i := range samples {
		wav = append(wav, sum[i%len(sum)], byte(i))
	}
	return wav
}

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"strings"
)

const promptTokens = 12

// answerText returns text of n bytes.
func answerText(n int) string {
	const sentence = "The quick answer travels one packet at a time. "
	return strings.Repeat(sentence, n/len(sentence)+1)[:n]
}

// wholeAnswer returns a chat completion in one JSON document.
func wholeAnswer(text string, tokens int) []byte {
	return fmt.Appendf(nil, `{"id":"chatcmpl-bench","object":"chat.completion","created":1767225600,"model":"demo-1",`+
		`"choices":[{"index":0,"message":{"role":"assistant","content":%q,"refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":%s}`,
		text, usage(tokens))
}

// streamedAnswer returns the same as server-sent events, one for each piece of
// the text and a last one.
func streamedAnswer(text string, chunks int) [][]byte {
	const frame = `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1767225600,"model":"demo-1","choices":[%s],"usage":%s}` + "\n\n"
	events := make([][]byte, 0, chunks+1)
	for i := range chunks {
		piece := text[i*len(text)/chunks : (i+1)*len(text)/chunks]
		choice := fmt.Sprintf(`{"index":0,"delta":{"content":%q},"finish_reason":null}`, piece)
		events = append(events, fmt.Appendf(nil, frame, choice, "null"))
	}
	last := fmt.Sprintf(frame, `{"index":0,"delta":{},"finish_reason":"stop"}`, "null") + fmt.Sprintf(frame, "", usage(chunks)) + "data: [DONE]\n\n"
	return append(events, []byte(last))
}

func usage(tokens int) string {
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, promptTokens, tokens, promptTokens+tokens)
}

// pictureAnswer returns an answer with one PNG: smooth colours, as photographs
// have, so that its decoding and encoding cost what real ones do.
func pictureAnswer(width, height int) ([]byte, error) {
	picture := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			wave := 40 * math.Sin(float64(x*y)/float64(width+height)/9)
			picture.SetNRGBA(x, y, color.NRGBA{R: uint8(x * 255 / width), G: uint8(y * 255 / height), B: uint8(128 + wave), A: 255})
		}
	}
	var data bytes.Buffer
	if err := png.Encode(&data, picture); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"created":1767225600,"data":[{"b64_json":%q}]}`, base64.StdEncoding.EncodeToString(data.Bytes())), nil
}

// tone returns one second of 440 Hz as WAV: 16 bit, mono, 22,050 Hz.
func tone() []byte {
	const rate = 22_050
	samples := make([]byte, 0, 2*rate)
	for i := range rate {
		value := int16(8000 * math.Sin(2*math.Pi*440*float64(i)/rate))
		samples = binary.LittleEndian.AppendUint16(samples, uint16(value))
	}
	le := binary.LittleEndian
	wav := le.AppendUint32([]byte("RIFF"), uint32(36+len(samples)))
	wav = append(wav, "WAVEfmt "...)
	wav = le.AppendUint32(wav, 16)
	wav = le.AppendUint16(wav, 1) // PCM
	wav = le.AppendUint16(wav, 1) // channel
	wav = le.AppendUint32(wav, rate)
	wav = le.AppendUint32(wav, 2*rate) // bytes a second
	wav = le.AppendUint16(wav, 2)      // bytes a frame
	wav = le.AppendUint16(wav, 16)     // bits a sample
	wav = append(wav, "data"...)
	wav = le.AppendUint32(wav, uint32(len(samples)))
	return append(wav, samples...)
}

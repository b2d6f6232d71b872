package chat

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"io"
	"math"
	"strconv"

	"github.com/tidwall/gjson"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/outbound"
	"llmhist/platform/rawjson"
	"llmhist/platform/usage"
)

// maxEmbeddings bounds an answer in bytes: a thousand vectors of 3,072 numbers
// as base64.
const maxEmbeddings = 32 << 20

// embed answers a request of OpenAI's embeddings. It goes to the provider of its
// model as it is, and so does the answer, except that vectors come in the format
// that was asked for: some servers know only one. What is kept of it is its
// event.
func (s *service) embed(ctx context.Context, body []byte) ([]byte, error) {
	if _, err := identity.Require(ctx); err != nil {
		return nil, err
	}
	document := gjson.ParseBytes(body)
	model, input, format := document.Get("model"), document.Get("input"), document.Get("encoding_format").Str
	var fields fault.Fields
	fields.Check(model.Type == gjson.String && model.Str != "", "model", "required", "must be the id of a model that makes embeddings")
	fields.Check(input.Type == gjson.String || input.IsArray(), "input", "required", "must be a string or an array")
	fields.Check(format == "" || format == "float" || format == "base64", "encoding_format", "invalid", "must be float or base64")
	refuseRepeated(document, &fields, "model")
	if err := fields.Err(); err != nil {
		return nil, err
	}
	to, known := s.catalogue.findEmbedding(model.Str)
	if !known {
		s.catalogue.discover(ctx, discoveryPause)
		to, known = s.catalogue.findEmbedding(model.Str)
	}
	if !known {
		return nil, unknownModel()
	}
	usage.Update(ctx, func(f *usage.Figures) {
		f.Provider, f.Model, f.InputBytes = to.provider.Name(), to.model, int64(len(body))
	})
	answer, err := readEmbeddings(ctx, to, with(body, "model", to.model))
	if err != nil {
		return nil, err
	}
	used, estimated := gjson.GetBytes(answer, "usage.prompt_tokens").Int(), false
	if used <= 0 {
		used, estimated = estimateTokens(input.String()), true
	}
	usage.Update(ctx, func(f *usage.Figures) {
		f.InputTokens, f.Estimated, f.OutputBytes = used, estimated, int64(len(answer))
		f.CostUSD = s.catalogue.cost(to.provider.Name(), to.model, tokens{Input: used})
	})
	return inFormat(answer, format == "base64"), nil
}

// readEmbeddings asks the provider and checks that its answer is one.
func readEmbeddings(ctx context.Context, to target, body []byte) ([]byte, error) {
	name := to.provider.Name()
	remote, forwards := to.provider.(forwarder)
	if !forwards {
		return nil, unknownModel()
	}
	response, err := remote.Forward(ctx, "/embeddings", body)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if outbound.MediaType(response) != "application/json" {
		return nil, badAnswer(name, "answered with something that is not JSON")
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxEmbeddings+1))
	if err != nil {
		return nil, err
	}
	reader := answerReader{provider: name}
	if len(answer) > maxEmbeddings {
		return nil, reader.tooLarge()
	}
	if !rawjson.Valid(answer) {
		return nil, badAnswer(name, "sent JSON that is not a list of embeddings")
	}
	document := gjson.ParseBytes(answer)
	if saysError(document) {
		return nil, reader.errorFault(answer)
	}
	if !document.Get("data").IsArray() {
		return nil, badAnswer(name, "sent JSON that is not a list of embeddings")
	}
	return answer, nil
}

// inFormat returns an answer with its vectors as base64 of little-endian 32-bit
// numbers, or as arrays, whatever they are now. All else keeps its bytes.
func inFormat(answer []byte, asBase64 bool) []byte {
	var changed []byte
	done := 0
	gjson.GetBytes(answer, "data").ForEach(func(_, item gjson.Result) bool {
		vector := item.Get("embedding")
		if !vector.Exists() || vector.IsArray() != asBase64 {
			return true
		}
		changed = append(changed, answer[done:vector.Index]...)
		if asBase64 {
			changed = appendBase64(changed, vector)
		} else {
			changed = appendNumbers(changed, vector)
		}
		done = vector.Index + len(vector.Raw)
		return true
	})
	if done == 0 {
		return answer
	}
	return append(changed, answer[done:]...)
}

func appendBase64(to []byte, vector gjson.Result) []byte {
	var numbers []byte
	vector.ForEach(func(_, number gjson.Result) bool {
		numbers = binary.LittleEndian.AppendUint32(numbers, math.Float32bits(float32(number.Num)))
		return true
	})
	to = append(to, '"')
	to = base64.StdEncoding.AppendEncode(to, numbers)
	return append(to, '"')
}

func appendNumbers(to []byte, vector gjson.Result) []byte {
	numbers, err := base64.StdEncoding.DecodeString(vector.Str)
	if err != nil || len(numbers)%4 != 0 {
		return append(to, vector.Raw...) // not what it should be: as it came
	}
	to = append(to, '[')
	for i := 0; i < len(numbers); i += 4 {
		if i > 0 {
			to = append(to, ',')
		}
		number := math.Float32frombits(binary.LittleEndian.Uint32(numbers[i:]))
		to = strconv.AppendFloat(to, float64(number), 'g', -1, 32)
	}
	return append(to, ']')
}

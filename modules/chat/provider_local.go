package chat

import (
	"context"
	"io/fs"
	"strings"
	"sync"
	"unicode"
)

// guideModel is the id of the built-in guide.
const guideModel = "local/guide"

// guide is the provider that needs nothing: it finds what the product's own
// documentation says about a question and quotes it with its source. It is no
// language model, says so in every answer, and says plainly when it has none.
// The same question always gets the same answer. It does not look at the system
// prompt or the temperature.
type guide struct {
	index func() *guideIndex
}

// newGuide returns a guide over the Markdown files of docs, which are read when
// the first question comes. A nil docs leaves it with greetings and advice.
func newGuide(docs fs.FS) *guide {
	return &guide{index: sync.OnceValue(func() *guideIndex { return newGuideIndex(docs) })}
}

func (g *guide) Name() string     { return localName }
func (g *guide) Models() []string { return []string{guideModel} }

// Answer never fails but for a ctx that ended or an emit that refused.
func (g *guide) Answer(ctx context.Context, request Request, emit func(text string) error) (Result, error) {
	question, before := lastQuestions(request.Messages)
	text := smallTalk(question)
	if text == "" {
		text = g.quote(question, before)
	}
	result := Result{FinishReason: "stop"}
	if request.MaxTokens > 0 && estimateTokens(text) > request.MaxTokens {
		text, result.FinishReason = cutToTokens(text, request.MaxTokens), "length"
	}
	if !request.Stream {
		return result, emit(text)
	}
	for text != "" {
		if err := ctx.Err(); err != nil {
			return Result{}, err
		}
		end := wordEnd(text)
		if err := emit(text[:end]); err != nil {
			return Result{}, err
		}
		text = text[end:]
	}
	return result, nil
}

// lastQuestions returns the newest question of a prompt and the one before it.
func lastQuestions(messages []PromptMessage) (question, before string) {
	for _, m := range messages {
		if m.Role == roleUser {
			question, before = m.Content, question
		}
	}
	return question, before
}

// wordEnd returns where the first word of text and the white space behind it
// end.
func wordEnd(text string) int {
	inWord, passed := false, false
	for i, r := range text {
		switch {
		case !unicode.IsSpace(r) && passed && inWord:
			return i
		case unicode.IsSpace(r):
			passed = true
		default:
			inWord, passed = true, false
		}
	}
	return len(text)
}

// cutToTokens returns the longest run of whole words from the start of text
// that is at most limit tokens, and at least the first word.
func cutToTokens(text string, limit int64) string {
	end := wordEnd(text)
	for end < len(text) {
		next := end + wordEnd(text[end:])
		if estimateTokens(text[:next]) > limit {
			break
		}
		end = next
	}
	return strings.TrimSpace(text[:end])
}

const (
	guideLabel = "*I am llmhist's built-in guide, not a language model: I quote its documentation.*\n\n"

	guideCanDo = "Ask me how to run, configure or use llmhist: for example “How do I add a chat provider?”, " +
		"“How do I generate an image?” or “Where is my data kept?”"

	guideProvider = "To talk to a real language model, let the operator name one in the environment and start llmhist again:\n\n" +
		"```sh\nexport OPENAI_BASE_URL=http://127.0.0.1:11434/v1   # Ollama, llama.cpp, LocalAI, OpenAI, Azure …\n" +
		"export OPENAI_API_KEY=your-key                     # when the service wants one\n" +
		"export OPENAI_DEFAULT_MODEL=your-model\n```\n"
)

// quote answers from the documentation. A question of few words is read
// together with the one before it, so that "and for speech?" finds something.
func (g *guide) quote(question, before string) string {
	index := g.index()
	found := index.search(question)
	if len(found) == 0 && before != "" && len(contentWords(question)) <= 3 {
		found = index.search(before + "\n" + question)
	}
	if len(found) == 0 {
		return guideLabel + "I found nothing about this in llmhist's documentation, and I can answer nothing else. " +
			guideCanDo + "\n\n" + guideProvider
	}
	var b strings.Builder
	b.WriteString(guideLabel)
	sources := make([]string, 0, len(found))
	for _, hit := range found {
		b.WriteString("**" + hit.section.title() + "**\n\n" + hit.excerpt + "\n\n")
		sources = append(sources, hit.section.source())
	}
	b.WriteString("*Source: " + strings.Join(sources, "; ") + ".*\n")
	return b.String()
}

// smallTalk answers greetings and questions about the guide itself, and returns
// "" for everything else.
func smallTalk(question string) string {
	said := strings.Join(strings.FieldsFunc(strings.ToLower(question), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\''
	}), " ")
	switch {
	case greetings[said]:
		return "Hello! " + guideLabel + guideCanDo + "\n"
	case thanks[said]:
		return "You are welcome.\n\n" + guideLabel
	case said == "help" || aboutGuide(said):
		return guideLabel + "I look for your words in the documentation that comes with this program and show you the sections that fit, " +
			"with their source. I do not think, invent or remember anything, and nothing you write leaves this server. " +
			guideCanDo + "\n\n" + guideProvider
	default:
		return ""
	}
}

func aboutGuide(said string) bool {
	for _, start := range []string{"who are you", "what are you", "what is your name", "what's your name", "are you ", "which model are you",
		"what model are you", "what can you do", "who made you", "introduce yourself"} {
		if strings.HasPrefix(said, start) {
			return true
		}
	}
	return false
}

var greetings = wordSet("hello", "hi", "hey", "hi there", "hello there", "hey there", "good morning", "good afternoon", "good evening",
	"howdy", "greetings", "how are you", "hello how are you", "hi how are you", "hola", "hallo", "bonjour", "salut", "ciao", "olá", "привет", "merhaba", "你好", "こんにちは", "안녕하세요")

var thanks = wordSet("thanks", "thank you", "thanks a lot", "thank you very much", "thx", "bye", "goodbye", "danke", "merci", "gracias")

func wordSet(words ...string) map[string]bool {
	set := make(map[string]bool, len(words))
	for _, word := range words {
		set[word] = true
	}
	return set
}

package chat

import "unicode"

// Overheads of the chat format, in tokens: every message carries its role and
// separators, and every request the opening of the reply.
const (
	messageOverhead = 4
	requestOverhead = 3
)

// estimateTokens returns about how many tokens a language model counts for
// text: four Latin letters are one token, a Chinese, Japanese or Korean
// character or an emoji is one by itself, and other scripts lie between. It
// errs on the high side for code and never returns 0 for text that is not
// empty.
func estimateTokens(text string) int64 {
	var quarters int64
	for _, r := range text {
		switch {
		case r < 0x80:
			quarters++
		case r < 0x0530, unicode.Is(unicode.Latin, r): // Latin with accents, Greek, Cyrillic
			quarters += 2
		case r < 0x1100: // Armenian, Hebrew, Arabic, the Indic scripts, Thai, Georgian
			quarters += 3
		default:
			quarters += 4
		}
	}
	return (quarters + 3) / 4
}

// estimatePrompt returns about how many tokens a provider counts for messages.
func estimatePrompt(messages []PromptMessage) int64 {
	total := int64(requestOverhead)
	for _, m := range messages {
		total += messageOverhead + estimateTokens(m.Content)
	}
	return total
}

package chat

import (
	"cmp"
	"slices"
	"strings"
)

// excerpt returns a section's text, or of a long one the blocks that speak of
// the words asked for, in their order. Blocks, code among them, stay whole.
func excerpt(body string, asked []string) string {
	if len(body) <= maxQuoteBytes {
		return body
	}
	blocks := splitBlocks(body)
	order := make([]int, len(blocks))
	scores := make([]int, len(blocks))
	for i, block := range blocks {
		order[i] = i
		scores[i] = matches(block, asked)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	chosen, size := []int{}, 0
	for _, i := range order {
		if len(chosen) > 0 && size+len(blocks[i]) > maxQuoteBytes {
			continue
		}
		chosen = append(chosen, i)
		size += len(blocks[i])
	}
	slices.Sort(chosen)
	var b strings.Builder
	for at, i := range chosen {
		skipped := at > 0 && chosen[at-1] != i-1 || at == 0 && i > 0
		if skipped {
			b.WriteString("…\n\n")
		}
		b.WriteString(blocks[i] + "\n\n")
	}
	if chosen[len(chosen)-1] != len(blocks)-1 {
		b.WriteString("…")
	}
	return strings.TrimSpace(b.String())
}

// matches counts the different words asked for that a block holds.
func matches(block string, asked []string) int {
	held := contentWords(block)
	count := 0
	for _, word := range asked {
		if slices.Contains(held, word) {
			count++
		}
	}
	return count
}

// splitBlocks cuts text at its blank lines outside of code. Code stays with the
// paragraph before it.
func splitBlocks(body string) []string {
	var blocks []string
	var block []string
	flush := func() {
		text := strings.TrimSpace(strings.Join(block, "\n"))
		block = block[:0]
		if text == "" {
			return
		}
		if isCode := fenceAfter("", firstLine(text)) != ""; isCode && len(blocks) > 0 {
			blocks[len(blocks)-1] += "\n\n" + text
			return
		}
		blocks = append(blocks, text)
	}
	fence := ""
	for _, line := range strings.Split(body, "\n") {
		fence = fenceAfter(fence, line)
		if fence == "" && strings.TrimSpace(line) == "" {
			flush()
			continue
		}
		block = append(block, line)
	}
	flush()
	return blocks
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

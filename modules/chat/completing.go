package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"
)

// chunkClient is sent a stream. An error means that nobody listens any more.
type chunkClient interface {
	// send takes a chunk, which is valid until it returns.
	send(answer *message, chunk []byte) error
	// flush makes sure that what was sent is on its way.
	flush() error
	// whole takes an answer that was not streamed.
	whole(answer *message, document []byte) error
}

// completing is the answer to a request of the OpenAI-compatible API on its way
// from a provider to the client and into the history. A stream is relayed chunk
// by chunk; what is sent of our own making is only what a provider left out.
type completing struct {
	*answering
	request      completionAsk
	targets      []target
	conversation thread // of the request
	client       chunkClient
	said         spoken
	document     []byte // the answer of a provider that sent it in one piece

	head      completionHead // of the provider's chunks, for those of our own; empty = it sent none
	opened    bool           // the client was told who speaks
	finished  bool           // the client was told why the answer ended
	usageSent bool
}

// try asks one provider.
func (c *completing) try(ctx context.Context, to target) (Result, error) {
	remote, forwards := to.provider.(forwarder)
	if !forwards {
		request := Request{Model: to.model, Messages: c.request.prompt(), Stream: c.request.Stream, MaxTokens: c.request.maxTokens()}
		return to.provider.Answer(ctx, request, func(text string) error { return c.takeText(ctx, text) })
	}
	response, err := forwardAdapting(ctx, remote, "/chat/completions", c.request.bodyFor(to.model))
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = response.Body.Close() }()
	reader := completionReader{completing: c, answerReader: answerReader{provider: to.provider.Name(), flush: c.flush}}
	return reader.read(ctx, response)
}

// takeText takes text of a provider that does not speak OpenAI's API.
func (c *completing) takeText(ctx context.Context, text string) error {
	if err := c.take(ctx, text); err != nil {
		return c.cut(err)
	}
	if !c.request.Stream {
		return nil
	}
	if err := c.open(); err != nil {
		return err
	}
	return c.sendChoice(chunkChoice{Delta: chunkDelta{Content: &text}})
}

// takePart takes what a provider says in a choice. Its member of that name is a
// delta of a stream, or a whole message.
func (c *completing) takePart(ctx context.Context, choice gjson.Result, name string) error {
	var index, reason, part gjson.Result
	choice.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "index":
			index = value
		case "finish_reason":
			reason = value
		case name:
			part = value
		}
		return true
	})
	of := c.said.choice(index.Int())
	if reason.Type == gjson.String && reason.Str != "" {
		of.finish = finishReason(reason.Str)
	}
	before := c.said.size
	text, err := c.said.add(of, part)
	if err != nil {
		return err
	}
	if of.index != 0 {
		c.said.addText(of, storable(text))
	}
	if c.said.size > before {
		c.firstByte(ctx)
	}
	if of.index == 0 {
		return c.takeFirst(ctx, text)
	}
	return c.bound(ctx)
}

// takeFirst takes a piece of the text of the first choice.
func (c *completing) takeFirst(ctx context.Context, text string) error {
	if err := c.bound(ctx); err != nil {
		return err
	}
	return c.take(ctx, text)
}

// bound sees to it that what was said is no longer than is kept, and that there is
// memory for it.
func (c *completing) bound(ctx context.Context) error {
	if c.text.Len()+c.said.size > c.service.maxAnswer {
		return errAnswerFull
	}
	if c.said.held > longDocument {
		return c.holdOn(ctx)
	}
	return nil
}

// holdOn waits for memory, after what was relayed is on its way.
func (c *completing) holdOn(ctx context.Context) error {
	if c.request.Stream {
		if err := c.flush(); err != nil {
			return err
		}
	}
	return c.place.hold(ctx)
}

// gather brings all that was said into memory.
func (c *completing) gather(ctx context.Context) error {
	if c.said.long() {
		if err := c.place.hold(ctx); err != nil {
			return err
		}
	}
	if err := c.answering.gather(ctx); err != nil {
		return err
	}
	return c.said.gather()
}

func (c *completing) gatherDetached(ctx context.Context) error {
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.service.gatherTime)
	defer cancel()
	return c.gather(detached)
}

func (c *completing) close() {
	c.said.close()
	c.answering.close()
}

// open tells the client who speaks.
func (c *completing) open() error {
	if c.opened {
		return nil
	}
	empty := ""
	return c.sendChoice(chunkChoice{Delta: chunkDelta{Role: roleAssistant, Content: &empty}})
}

// cut ends a stream whose answer is longer than is kept, and returns why.
func (c *completing) cut(why error) error {
	if !c.request.Stream || !errors.Is(why, errAnswerFull) {
		return why
	}
	if err := c.finish("length"); err != nil {
		return err
	}
	return why
}

// finish tells the client why the answer ended, once.
func (c *completing) finish(reason string) error {
	if c.finished {
		return nil
	}
	if err := c.open(); err != nil {
		return err
	}
	c.finished = true
	return c.sendChoice(chunkChoice{FinishReason: &reason})
}

func (c *completing) sendChoice(choice chunkChoice) error {
	return c.sendOwn(chunkBody{Choices: []chunkChoice{choice}})
}

// sendOwn sends a chunk of our own making.
func (c *completing) sendOwn(chunk chunkBody) error {
	if chunk.completionHead = c.head; c.head.ID == "" {
		chunk.completionHead = headOf(c.answer, "chat.completion.chunk")
	}
	data, err := json.Marshal(chunk)
	if err != nil {
		return err
	}
	if err := c.relay(data); err != nil {
		return err
	}
	return c.flush()
}

// relay sends the client a chunk with the next flush.
func (c *completing) relay(chunk []byte) error {
	c.began, c.opened = true, true
	if err := c.client.send(&c.answer, chunk); err != nil {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	return nil
}

func (c *completing) flush() error {
	if !c.opened {
		return nil
	}
	if err := c.client.flush(); err != nil {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	return nil
}

// end sends the whole answer, or completes a stream. A client that left now
// finds its answer in the history.
func (c *completing) end() error {
	if !c.request.Stream {
		document, err := c.document, error(nil)
		if document == nil {
			document, err = json.Marshal(c.assembled())
		}
		if err != nil {
			return err
		}
		return c.client.whole(&c.answer, document)
	}
	if c.finish(c.answer.FinishReason) == nil && c.request.IncludeUsage && !c.usageSent {
		_ = c.sendOwn(chunkBody{Choices: []chunkChoice{}, Usage: usageOf(c.answer)})
	}
	return nil
}

// assembled returns the answer as one document, when it did not come as one.
func (c *completing) assembled() completionBody {
	body := completionBody{completionHead: headOf(c.answer, "chat.completion"), Usage: usageOf(c.answer), Choices: []completionChoice{}}
	for _, of := range c.said.sorted() {
		text, reason := of.text.String(), of.finish
		if of.index == 0 {
			text, reason = c.answer.Content, c.answer.FinishReason
		}
		body.Choices = append(body.Choices, completionChoice{Index: of.index, Message: of.member(text), FinishReason: reason})
	}
	return body
}

package sse_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/sse"
)

type event struct{ Name, Data string }

// readAll returns copies of every event and the error that ended the stream.
func readAll(source io.Reader, limit int) ([]event, error) {
	reader := sse.NewReader(source, limit)
	var events []event
	for {
		next, err := reader.Next()
		if err != nil {
			return events, err
		}
		events = append(events, event{next.Name, string(next.Data)})
	}
}

func TestEventsAreSplitAsTheStandardSays(t *testing.T) {
	cases := map[string]struct {
		stream string
		want   []event
	}{
		"an empty stream has none":                 {"", nil},
		"one event":                                {"data: hi\n\n", []event{{"", "hi"}}},
		"a name":                                   {"event: delta\ndata: hi\n\n", []event{{"delta", "hi"}}},
		"a name lasts for one event only":          {"event: a\ndata: 1\n\ndata: 2\n\n", []event{{"a", "1"}, {"", "2"}}},
		"a name without data is dropped":           {"event: a\n\ndata: 2\n\n", []event{{"", "2"}}},
		"several data lines are joined":            {"data: a\ndata: b\n\n", []event{{"", "a\nb"}}},
		"only one space after the colon goes":      {"data:  a\n\n", []event{{"", " a"}}},
		"no space after the colon":                 {"data:a\n\n", []event{{"", "a"}}},
		"a field without a colon is empty data":    {"data\n\n", []event{{"", ""}}},
		"an empty data line and another":           {"data\ndata\n\n", []event{{"", "\n"}}},
		"comments, ids and retries are ignored":    {": ping\n\nid: 7\nretry: 10\ndata: a\n\n", []event{{"", "a"}}},
		"CRLF":                                     {"event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", []event{{"x", "a"}, {"", "b"}}},
		"CR":                                       {"data: a\r\rdata: b\r\r", []event{{"", "a"}, {"", "b"}}},
		"mixed line ends":                          {"data: a\r\ndata: b\rdata: c\n\r\n", []event{{"", "a\nb\nc"}}},
		"a byte order mark at the start":           {"\xef\xbb\xbfdata: a\n\n", []event{{"", "a"}}},
		"a byte order mark elsewhere is content":   {"data: \xef\xbb\xbfa\n\n", []event{{"", "\xef\xbb\xbfa"}}},
		"the end without a blank line":             {"data: a\n\ndata: [DONE]\n", []event{{"", "a"}, {"", "[DONE]"}}},
		"the end in the middle of the last line":   {"data: a\n\ndata: [DONE]", []event{{"", "a"}, {"", "[DONE]"}}},
		"colons in the data":                       {"data: {\"a\":\"b:c\"}\n\n", []event{{"", `{"a":"b:c"}`}}},
		"four-byte characters":                     {"data: 🦊é漢\n\n", []event{{"", "🦊é漢"}}},
		"many blank lines":                         {"\n\n\ndata: a\n\n\n\n", []event{{"", "a"}}},
		"an unknown field":                         {"dataset: a\ndata: b\n\n", []event{{"", "b"}}},
		"something that is no event stream at all": {"<html><body>no</body></html>", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			sources := map[string]io.Reader{
				"in one read":    strings.NewReader(c.stream),
				"byte by byte":   iotest.OneByteReader(strings.NewReader(c.stream)),
				"data with EOF":  iotest.DataErrReader(strings.NewReader(c.stream)),
				"halved buffers": iotest.HalfReader(strings.NewReader(c.stream)),
			}
			for way, source := range sources {
				got, err := readAll(source, 0)
				if !errors.Is(err, io.EOF) {
					t.Errorf("%s: ended with %v", way, err)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("%s: %s", way, diff)
				}
			}
		})
	}
}

func TestALineLongerThanABufferIsRead(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	got, err := readAll(strings.NewReader("data: "+long+"\n\ndata: end\n\n"), 0)
	if !errors.Is(err, io.EOF) || len(got) != 2 || got[0].Data != long || got[1].Data != "end" {
		t.Fatalf("%d events, %v", len(got), err)
	}
}

func TestMoreThanTheLimitIsRefused(t *testing.T) {
	cases := map[string]string{
		"a line without an end":    "data: " + strings.Repeat("x", 100),
		"a comment without an end": ":" + strings.Repeat("x", 100),
		"an event of many lines":   strings.Repeat("data: 12345678\n", 10),
	}
	for name, stream := range cases {
		t.Run(name, func(t *testing.T) {
			reader := sse.NewReader(io.MultiReader(strings.NewReader("data: first\n\n"), strings.NewReader(stream)), 64)
			if first, err := reader.Next(); err != nil || string(first.Data) != "first" {
				t.Fatalf("%q, %v", first.Data, err)
			}
			for range 2 {
				if _, err := reader.Next(); !errors.Is(err, sse.ErrTooLarge) {
					t.Fatalf("got %v", err)
				}
			}
		})
	}
}

func TestABrokenSourceEndsTheStreamWithoutAHalfEvent(t *testing.T) {
	boom := errors.New("boom")
	source := io.MultiReader(strings.NewReader("data: whole\n\ndata: ha"), iotest.ErrReader(boom))
	got, err := readAll(source, 0)
	if !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff([]event{{"", "whole"}}, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestAnEventIsDeliveredBeforeMoreBytesCome(t *testing.T) {
	for name, end := range map[string]string{"LF": "\n\n", "CR": "\r\r", "CRLF": "\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			in, out := io.Pipe()
			defer func() { _ = in.Close() }()
			go func() { _, _ = out.Write([]byte("data: now" + end)) }() // ends with the pipe, which then stays silent
			next, err := sse.NewReader(in, 0).Next()
			if err != nil || string(next.Data) != "now" {
				t.Fatalf("%q, %v", next.Data, err)
			}
		})
	}
}

// FuzzReader checks that no stream makes the reader fail in an unknown way,
// that the size of reads never changes the outcome, that no event is larger
// than the limit, and that what was read can be written and read again.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"data: a\n\n", "event: e\r\ndata: a\r\ndata: b\r\n\r\n", "\xef\xbb\xbfdata: a\r\r", ": ping\n\ndata\n\n",
		"data: {\"choices\":[]}\n\ndata: [DONE]\n\n", "data:" + strings.Repeat("y", 300), "\r\n\r\r\n\n", "event\ndata: \x00\xff\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 256
		whole, wholeErr := readAll(bytes.NewReader(stream), limit)
		bytewise, byteErr := readAll(iotest.OneByteReader(bytes.NewReader(stream)), limit)
		if diff := cmp.Diff(whole, bytewise); diff != "" {
			t.Fatalf("the size of reads matters: %s", diff)
		}
		if errors.Is(wholeErr, io.EOF) != errors.Is(byteErr, io.EOF) || errors.Is(wholeErr, sse.ErrTooLarge) != errors.Is(byteErr, sse.ErrTooLarge) {
			t.Fatalf("%v but byte by byte %v", wholeErr, byteErr)
		}
		if !errors.Is(wholeErr, io.EOF) && !errors.Is(wholeErr, sse.ErrTooLarge) {
			t.Fatalf("unknown error %v", wholeErr)
		}
		var again bytes.Buffer
		for _, e := range whole {
			if len(e.Data) > limit || strings.ContainsRune(e.Data, '\r') || strings.ContainsAny(e.Name, "\r\n") {
				t.Fatalf("impossible event %q %q", e.Name, e.Data)
			}
			again.WriteString("event: " + e.Name + "\ndata: " + strings.ReplaceAll(e.Data, "\n", "\ndata: ") + "\n\n")
		}
		echoed, _ := readAll(&again, 2*limit)
		if diff := cmp.Diff(whole, echoed); diff != "" {
			t.Fatalf("not stable: %s", diff)
		}
	})
}

func TestReadyTellsOfAnEventThatHasCome(t *testing.T) {
	for text, want := range map[string]bool{
		"data: 1\n\ndata: 2\n\n":     true,
		"data: 1\n\ndata: 2\n":       false, // not whole
		"data: 1\n\n: ping\n\n":      false, // a comment, after which nothing may come for long
		"data: 1\n\n\ndata: 2\n\n":   false, // not at a glance
		"data: 1\n\n":                false,
		"data: 1\r\n\r\ndata: 2\n\n": true,
	} {
		events := sse.NewReader(strings.NewReader(text), 0)
		if _, ready := events.Ready(); ready {
			t.Errorf("%q: ready before anything was read", text)
		}
		if _, err := events.Next(); err != nil {
			t.Fatal(err)
		}
		line, ready := events.Ready()
		if ready != want || ready && string(line) != "data: 2" {
			t.Errorf("%q: %v with %q", text, ready, line)
		}
	}
}

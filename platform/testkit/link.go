package testkit

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync"
	"testing"
)

// Link is a Proxy before a server that speaks MongoDB's wire protocol. It
// counts writes, so that it can stand for the end of the process that was
// writing.
type Link struct {
	*Proxy

	mu     sync.Mutex
	writes int // how many writes pass before the link is cut; < 0 = all
	lost   bool
}

func newLink(t testing.TB, target string) *Link {
	t.Helper()
	l := &Link{Proxy: newProxy(t, target), writes: -1}
	l.take = func(from io.Reader, _ []byte) ([]byte, error) { return readWireMessage(from) }
	l.inspect = l.count
	l.open()
	return l
}

// CutAtWrite cuts the link at the n-th write from now, counted from 1: before
// it reaches the server, or with answerLost when it was done there and only its
// answer is missing. Nothing passes afterwards.
func (l *Link) CutAtWrite(n int, answerLost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes, l.lost = n-1, answerLost
}

// count cuts the link when it is this request's turn.
func (l *Link) count(c *proxied, request []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writes < 0 || !isWrite(request) {
		return
	}
	if l.writes--; l.writes >= 0 {
		return
	}
	if l.lost {
		c.lose.Store(true)
	} else {
		l.Set(Refuse)
	}
}

// isWrite reports whether a message is an OP_MSG whose command, the name of the
// first element of its document, changes something.
func isWrite(message []byte) bool {
	const name = 16 + 4 + 1 + 4 + 1 // header, flags, kind of section, length of document, type of element
	if len(message) <= name {
		return false
	}
	command, _, _ := bytes.Cut(message[name:], []byte{0})
	switch string(command) {
	case "insert", "update", "delete", "findAndModify":
		return true
	}
	return false
}

func readWireMessage(from io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(length[:])
	if size < 16 || size > 48_000_000 {
		return nil, io.ErrUnexpectedEOF
	}
	message := make([]byte, size)
	copy(message, length[:])
	_, err := io.ReadFull(from, message[4:])
	return message, err
}

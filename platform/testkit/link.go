package testkit

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// Link passes messages of MongoDB's wire protocol on to a server until it is
// told to fail. It stands for the network, and for the end of the process that
// was writing.
type Link struct {
	address string
	target  string

	mu     sync.Mutex
	mode   linkMode
	writes int // how many writes pass before the link is cut; < 0 = all
	lost   bool
	conns  map[net.Conn]bool
	group  sync.WaitGroup
}

type linkMode int

const (
	linkWhole linkMode = iota
	linkCut
	linkSilent
	linkGarbage
)

func newLink(t testing.TB, target string) *Link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Link{address: listener.Addr().String(), target: target, writes: -1, conns: map[net.Conn]bool{}}
	l.group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			l.group.Go(func() { l.pass(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		l.Cut()
		l.group.Wait()
	})
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

// Cut closes every connection; new ones are closed at once.
func (l *Link) Cut() { l.set(linkCut) }

// Silence lets connections stand, but passes nothing on.
func (l *Link) Silence() { l.set(linkSilent) }

// Garble answers every request with bytes that mean nothing.
func (l *Link) Garble() { l.set(linkGarbage) }

// Mend lets everything pass again, on new connections.
func (l *Link) Mend() { l.set(linkWhole) }

func (l *Link) set(mode linkMode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mode, l.writes = mode, -1
	if mode == linkCut || mode == linkWhole {
		for conn := range l.conns {
			_ = conn.Close()
		}
	}
}

func (l *Link) now() linkMode {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mode
}

// keep notes a connection, so that cutting the link closes it.
func (l *Link) keep(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[conn] = true
	if l.mode == linkCut {
		_ = conn.Close()
	}
}

func (l *Link) drop(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
	_ = conn.Close()
}

func (l *Link) pass(client net.Conn) {
	l.keep(client)
	defer l.drop(client)
	server, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer server.Close()
	for {
		request, err := readWireMessage(client)
		if err != nil {
			return
		}
		before, after := l.count(request)
		switch {
		case before || l.now() == linkCut:
			l.Cut()
			return
		case l.now() == linkSilent:
			_, _ = io.Copy(io.Discard, client) // until the client gives up
			return
		case l.now() == linkGarbage:
			_, _ = client.Write(bytes.Repeat([]byte{0xA5}, 64))
			return
		}
		if _, err := server.Write(request); err != nil {
			return
		}
		reply, err := readWireMessage(server)
		if err != nil || after {
			l.Cut()
			return
		}
		if _, err := client.Write(reply); err != nil {
			return
		}
	}
}

// count reports whether the link is to be cut before or after this request.
func (l *Link) count(request []byte) (before, after bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writes < 0 || !isWrite(request) {
		return false, false
	}
	l.writes--
	if l.writes >= 0 {
		return false, false
	}
	return !l.lost, l.lost
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

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
)

// maxMessage is the largest message of the wire protocol, in bytes.
const maxMessage = 48_000_000

// oneAtATime passes messages of the wire protocol on to FerretDB, one change and
// its answer at a time over all connections; what only reads goes through as it
// comes. MongoDB promises that a change of one document is atomic; FerretDB 1.24
// reads the document and writes it back in two steps, so two changes at once
// could lose one. A request is finished also when its client has gone.
type oneAtATime struct {
	backend func() (net.Conn, error)
	turn    sync.Mutex
}

// serve answers the clients of listener until it is closed.
func (o *oneAtATime) serve(listener net.Listener) error {
	for {
		client, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go o.answer(client)
	}
}

func (o *oneAtATime) answer(client net.Conn) {
	defer client.Close()
	server, err := o.backend()
	if err != nil {
		return
	}
	defer server.Close()
	for {
		request, err := readMessage(client)
		if err != nil {
			return
		}
		reply, err := o.ask(server, request)
		if err != nil {
			return
		}
		if _, err := client.Write(reply); err != nil {
			return
		}
	}
}

func (o *oneAtATime) ask(server net.Conn, request []byte) ([]byte, error) {
	if !onlyReads(request) {
		o.turn.Lock()
		defer o.turn.Unlock()
	}
	if _, err := server.Write(request); err != nil {
		return nil, err
	}
	return readMessage(server)
}

// onlyReads reports whether a message is an OP_MSG whose command changes
// nothing. The command is the name of the first element of its document.
func onlyReads(message []byte) bool {
	const name = 16 + 4 + 1 + 4 + 1 // header, flags, kind of section, length of document, type of element
	if len(message) <= name {
		return false
	}
	command, _, _ := bytes.Cut(message[name:], []byte{0})
	switch string(command) {
	case "find", "getMore", "aggregate", "count", "distinct", "hello", "isMaster", "ping", "buildInfo", "listIndexes":
		return true
	}
	return false
}

// readMessage reads one message: its first four bytes are its length.
func readMessage(from io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(length[:])
	if size < 16 || size > maxMessage {
		return nil, errors.New("not a message of the wire protocol")
	}
	message := make([]byte, size)
	copy(message, length[:])
	_, err := io.ReadFull(from, message[4:])
	return message, err
}

package web

import (
	"net"
	"time"
)

// writeDeadline is how long a client may take to accept the next piece of an
// answer. It holds for every answer, streams and downloads too, so that a
// client that stops reading cannot keep a connection and its memory for ever.
var writeDeadline = 30 * time.Second

// writePiece is what must be accepted within writeDeadline: a slow line is no
// reason to give up.
const writePiece = 64 << 10

// patientListener makes connections that bound each write.
type patientListener struct{ net.Listener }

func (l patientListener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if tcp, ok := connection.(*net.TCPConn); ok {
		return patientConn{tcp}, err
	}
	return connection, err
}

type patientConn struct{ *net.TCPConn }

func (c patientConn) Write(p []byte) (written int, err error) {
	for {
		piece := p[written:min(len(p), written+writePiece)]
		_ = c.SetWriteDeadline(time.Now().Add(writeDeadline)) // fails only on a closed connection, as the write will
		n, err := c.TCPConn.Write(piece)
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

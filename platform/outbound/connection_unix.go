//go:build unix

package outbound

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// quiet reports whether a connection without a request is open and nothing came
// on it: what came nobody asked for, and it is not the next request's answer.
func (c *connection) quiet() bool {
	return c.nothingDecrypted() && c.nothingReceived()
}

var past = time.Unix(1, 0)

// nothingDecrypted reports whether the TLS of the connection, if it has one, holds
// nothing that it received before.
func (c *connection) nothingDecrypted() bool {
	if c.stream == c.raw {
		return true
	}
	if c.stream.SetReadDeadline(past) != nil {
		return false
	}
	n, err := c.stream.Read(make([]byte, 1))
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.stream.SetReadDeadline(time.Time{}) == nil
}

// nothingReceived asks the system.
func (c *connection) nothingReceived() bool {
	conn, ok := c.raw.(syscall.Conn)
	if !ok {
		return false
	}
	socket, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = socket.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		quiet = err == syscall.EAGAIN // the socket never blocks
		return true
	})
	return err == nil && quiet
}

//go:build unix

package outbound

import "syscall"

// quiet reports whether a connection without a request is open and nothing came
// on it: what came nobody asked for, and it is not the next request's answer.
func (c *connection) quiet() bool {
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

package database

import (
	"errors"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// boundUnanswered makes a new connection break when the other end acknowledges
// nothing for postgresUnanswered; see TCP_USER_TIMEOUT in tcp(7).
func boundUnanswered(network, _ string, connection syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var refused error
	err := connection.Control(func(socket uintptr) {
		refused = unix.SetsockoptInt(int(socket), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(postgresUnanswered.Milliseconds()))
	})
	return errors.Join(err, refused)
}

package database_test

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/sys/unix"

	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

func TestAConnectionBreaksWhenNothingIsAcknowledged(t *testing.T) {
	connection, err := testkit.Postgres(t).Handle().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	var milliseconds int
	err = connection.Raw(func(driver any) error {
		raw, err := driver.(*stdlib.Conn).Conn().PgConn().Conn().(*net.TCPConn).SyscallConn()
		if err != nil {
			return err
		}
		var refused error
		err = raw.Control(func(socket uintptr) {
			milliseconds, refused = unix.GetsockoptInt(int(socket), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		})
		return errors.Join(err, refused)
	})
	if err != nil || milliseconds != 10_000 {
		t.Errorf("it breaks after %d ms, %v", milliseconds, err)
	}
}

func TestASocketFileIsReached(t *testing.T) {
	dir := t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	reached := make(chan struct{}, 100)
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			reached <- struct{}{}
			_ = connection.Close()
		}
	}()
	if _, err := database.OpenPostgres(t.Context(), fmt.Sprintf("host=%s port=5432 user=x dbname=x sslmode=disable", dir), testkit.Logger()); err == nil {
		t.Fatal("who says nothing was taken for PostgreSQL")
	}
	select {
	case <-reached:
	default:
		t.Error("the file was not connected to")
	}
}

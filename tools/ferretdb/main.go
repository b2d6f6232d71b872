// Command ferretdb serves the MongoDB wire protocol on one address of this
// machine, from SQLite files in a directory, until it is told to stop. The
// tests use it in the place of a MongoDB; nothing of it is in the product.
//
//	ferretdb -listen 127.0.0.1:27017 -dir /tmp/documents
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:27017", "address to listen on")
	dir := flag.String("dir", ".", "directory that keeps the documents, which must exist")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *listen, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "ferretdb:", err)
		os.Exit(1)
	}
}

// pragmas make commits outlive the process, as the tests need, but not the
// machine, which would cost a write to the disk for each.
const pragmas = "_pragma=busy_timeout(10000)&_pragma=synchronous(normal)&_pragma=wal_autocheckpoint(20000)"

func serve(ctx context.Context, address, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	socket := filepath.Join(dir, "ferretdb.sock")
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) { // of a run that was killed
		return err
	}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{Unix: socket},
		Handler:   "sqlite",
		SQLiteURL: "file:" + dir + "/?" + pragmas,
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	front := &oneAtATime{backend: func() (net.Conn, error) { return net.DialTimeout("unix", socket, time.Second) }}
	failed := make(chan error, 1)
	go func() { failed <- front.serve(listener) }()
	if err := server.Run(ctx); err != nil {
		return err
	}
	return <-failed
}

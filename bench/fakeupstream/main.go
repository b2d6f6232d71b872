// Command fakeupstream is a provider for measurements: it speaks the
// OpenAI-compatible protocol for chat, images and speech, and makes every answer
// before the first request, so that it costs little beside the server measured.
// It prints its address on the first line of its output.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fakeupstream:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("fakeupstream", flag.ContinueOnError)
	var shape shape
	port := flags.Int("port", 0, "port on 127.0.0.1; 0 = a free one")
	flags.IntVar(&shape.answerBytes, "answer-bytes", 1024, "length of a chat answer")
	flags.IntVar(&shape.chunks, "chunks", 100, "pieces of a streamed chat answer")
	flags.DurationVar(&shape.delay, "chunk-delay", 0, "pause before each piece")
	if err := flags.Parse(args); err != nil {
		return err
	}
	handler, err := newHandler(shape)
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "http://%s\n", listener.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

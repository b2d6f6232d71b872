// Command baseline is the yardstick that llmhist is measured against: the least
// that an Echo server can do for the same routes. It checks RS256 tokens, proxies
// chat, and does the cryptography of a login and a refresh, but keeps nothing:
// no accounts, no history, no events, no limits, no request ids. What llmhist
// takes more than this is the price of those.
//
// It prints one line of JSON: its address and a token that it accepts.
package main

import (
	"context"
	"encoding/json"
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
		fmt.Fprintln(os.Stderr, "baseline:", err)
		os.Exit(1)
	}
}

// announcement is the line that baseline prints.
type announcement struct {
	Address string `json:"address"`
	Token   string `json:"token"`
}

func serve(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("baseline", flag.ContinueOnError)
	port := flags.Int("port", 0, "port on 127.0.0.1; 0 = a free one")
	upstream := flags.String("upstream", "", "base address of the fake upstream")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *upstream == "" {
		return errors.New("-upstream is needed")
	}
	h, err := newHandler(*upstream)
	if err != nil {
		return err
	}
	token, err := h.sign()
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(announcement{Address: "http://" + listener.Addr().String(), Token: token}); err != nil {
		return err
	}
	server := &http.Server{Handler: h.routes(), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

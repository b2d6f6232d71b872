package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// DrainTime is how long open requests may take to end when the process stops.
const DrainTime = 30 * time.Second

// Serve answers connections of listener until ctx ends, then stops accepting,
// lets open requests finish for at most DrainTime, and returns. A client that
// does not read its answer is given up.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, logger *slog.Logger) error {
	base, cutOff := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cutOff(nil)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(patientListener{listener}) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(base, DrainTime)
	defer cancel()
	err := server.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		logger.Warn("requests still open after the drain time are cut off", "drain", DrainTime)
		cutOff(errStopping) // handlers see their context end and store what they have
		err = closeAfterGrace(server)
	}
	<-stopped
	return err
}

// grace is how long handlers may take to store what they have when cut off.
const grace = 5 * time.Second

func closeAfterGrace(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if server.Shutdown(ctx) == nil {
		return nil
	}
	return server.Close()
}

package service

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// ErrTerminated is the cause of a context that SIGTERM ended: see Host.Run.
var ErrTerminated = errors.New("terminated")

// UntilSignal returns a context that ends with ctx or at a signal: SIGTERM, which orchestrators send, or SIGINT, which a person sends at a
// terminal. A second signal ends the process at once.
func UntilSignal(ctx context.Context) context.Context {
	ctx, end := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		cause := context.Canceled
		if <-signals == syscall.SIGTERM {
			cause = ErrTerminated
		}
		signal.Stop(signals)
		end(cause)
	}()
	return ctx
}

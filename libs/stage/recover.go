package stage

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/signrelay/signrelay/libs/outcome"
)

// recovered turns a panic into an error. The error is transient, because the next version of the program may not panic. It leaves the outcome
// of an effect unknown, because the panic may have come after the effect.
func recovered(next handler) handler {
	return func(ctx context.Context, a *attempt) (outs []Out, err error) {
		defer func() {
			if value := recover(); value != nil {
				err = outcome.Panicked(&panicError{value, debug.Stack()})
			}
		}()
		return next(ctx, a)
	}
}

// panicError is a panic, with the stack that goes to the log and to the DLQ.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// Package operate is an operator's work: it lists what is stuck, plans what to do about it, and runs the plan. The command line, the console and
// the MCP server use it, so that all of them do the same things by the same code.
//
// stuck.go groups and lists what does not go on by itself. plan.go says what an action would do, and stores the plan under a token. start.go makes
// a job from a plan that still holds. runner.go runs jobs, in any process that may do their action, and job.go has their state.
package operate

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/prices"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// Operator does the work of operators. Only JS is required for reading and for plans; a process without one of the other parts cannot run the
// actions that need it.
type Operator struct {
	JS   jetstream.JetStream
	Ring keyring.Ring
	Now  func() time.Time // nil is the machine's clock
	Log  *slog.Logger     // nil logs nothing

	// Parts returns the number of parts of a text message; nil if the process does not know the texts. See TextParts.
	Parts func(*notifyv1.Notification) (int, error)
	// Prices are the prices of a part of a text. Without them a plan has no cost.
	Prices prices.Prices
	// Destination fails if the settings do not allow a message to its address (notification.Sender.Destination); nil allows every address.
	Destination func(*notifyv1.Notification) error
	// Callback stores the events of a quarantined callback, as ingest does, and says what it stored. Its error is an *UnreadableError if the callback
	// stays in quarantine; other errors are those of the streams. It is nil in a process that cannot read callbacks.
	Callback func(ctx context.Context, h nats.Header, payload []byte, repair CallbackRepair) (stored string, err error)
	// Eraser returns the eraser of the installation, and a function that closes it; nil in a process that may not erase.
	Eraser func(context.Context) (*erase.Eraser, func(), error)

	// Remember keeps what is stuck in memory, so that the next look reads only what is new: for a process that looks often.
	Remember bool

	board board
	looks looks
}

func (o *Operator) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

func (o *Operator) log() *slog.Logger {
	if o.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Log
}

// CallbackRepair replaces parts of a callback; a part that is nil stays as it is.
type CallbackRepair struct{ Body, Query []byte }

// Order is who ordered an action, and why. Both are kept in the log, so neither may contain personal data.
type Order struct {
	By     string
	Reason string
	Plan   string // the id of the plan, which is also that of its job; empty without one
}

// longestReason is the longest reason, in bytes: a sentence and the number of a ticket.
const longestReason = 300

// check refuses an order that looks personal, because it stays after the data is gone.
func (o Order) check() error {
	for name, text := range map[string]string{"reason": o.Reason, "user": o.By} {
		switch {
		case strings.TrimSpace(text) == "":
			return errors.New("the " + name + " is empty: it is kept as the record of the decision")
		case len(text) > longestReason:
			return errors.New("the " + name + " is longer than 300 bytes")
		case name == "reason" && strings.Contains(text, "@"):
			return errors.New("the reason has an e-mail address: use the number of a request, because the reason is kept")
		}
	}
	return nil
}

// Document is one document.
type Document struct {
	Source   string `json:"source"`
	Provider string `json:"provider"`
	ID       string `json:"id"` // the provider's
}

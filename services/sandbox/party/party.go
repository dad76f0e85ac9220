// Package party is what the stand-ins for other parties have in common: what a party is, the documents and stories of e-signature
// providers, callbacks, signing pages, the inbox and the faults.
package party

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
)

// Party is one other party that the sandbox stands in for.
type Party struct {
	Name    string                     // as settings and stories have it
	Title   string                     // for people
	Targets []Target                   // what of it can be told to fail
	Stories []Story                    // what can be played; of an e-signature provider
	New     func(Env) (StandIn, error) // the stand-in, at the start
}

// StandIn is a party at work. Each part may be nil.
type StandIn struct {
	Routes   func(*service.Routes) // registers its HTTP
	Provider *Provider             // where its stories are played
	Listener Listener              // what it serves beside HTTP
	Close    func()                // ends what it still has to do, and waits for it
}

// Listener is a server with an address of its own.
type Listener interface {
	Addr() net.Addr
	Serve() error
	Shutdown(ctx context.Context) error
	Close() error // of a listener that was never served
}

// Env is what the sandbox gives to each party.
type Env struct {
	Config    config.Config
	Log       *slog.Logger
	Inbox     *Inbox
	Faults    *Faults
	Tickets   *Tickets
	Callbacks *Callbacks
	Odd       *Odd
	BaseURL   func() string         // what addresses in callbacks begin with
	Linger    func(d time.Duration) // waits, but not beyond the sandbox's end
}

// Knows tells whether a source of that provider has these credentials.
func (e Env) Knows(provider string, fits func(config.API) bool) bool {
	return slices.ContainsFunc(e.Config.Sources, func(source config.Source) bool {
		return source.Provider == provider && fits(source.API)
	})
}

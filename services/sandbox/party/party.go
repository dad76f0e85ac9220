// Package party contains the common parts of the simulated parties: the type Party, the documents and stories of e-signature providers,
// callbacks, signing pages, the inbox and the faults.
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

// Party is one outside party that the sandbox simulates.
type Party struct {
	Name    string                       // as in settings and stories
	Title   string                       // for people
	Targets []Target                     // its parts that can fail on request
	Stories []Story                      // of an e-signature provider
	New     func(Env) (Simulator, error) // starts the simulator
}

// Simulator is a running party. Each field may be nil.
type Simulator struct {
	Routes   func(*service.Routes) // registers its HTTP routes
	Provider *Provider             // the documents of its stories
	Listener Listener              // its server in addition to HTTP
	// Reply sends a person's reply to a text, and returns when Signrelay has accepted it.
	Reply func(ctx context.Context, to Message, words string) error
	Close func() // stops its background work and waits for it
}

// Listener is a server with an address of its own.
type Listener interface {
	Addr() net.Addr
	Serve() error
	Shutdown(ctx context.Context) error
	Close() error // for a listener that was never served
}

// Env contains the parts of the sandbox that every party uses.
type Env struct {
	Config    config.Config
	Log       *slog.Logger
	Inbox     *Inbox
	Faults    *Faults
	Tickets   *Tickets
	Callbacks *Callbacks
	Odd       *Odd
	Now       func() time.Time
	BaseURL   func() string         // the beginning of addresses in callbacks
	Linger    func(d time.Duration) // waits, at most until the sandbox stops
}

// SourceWith returns the name of the source of that provider with these credentials; false if there is none.
func (e Env) SourceWith(provider string, fits func(config.Source) bool) (string, bool) {
	for _, source := range e.Config.Sources {
		if source.Provider == provider && fits(source) {
			return source.Name, true
		}
	}
	return "", false
}

// Knows reports whether a source of that provider has these credentials.
func (e Env) Knows(provider string, fits func(config.Source) bool) bool {
	return slices.ContainsFunc(e.Config.Sources, func(source config.Source) bool {
		return source.Provider == provider && fits(source)
	})
}

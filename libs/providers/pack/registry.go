package pack

import (
	"context"
	"crypto/rsa"
	"errors"
	"time"

	"github.com/signrelay/signrelay/libs/config"
)

// Registry is an API at which addresses for callbacks are registered. The errors of its calls are those of API; the *CallError of a refusal has
// the provider's own message, which is for the operator's terminal only.
type Registry interface {
	// Wanted returns the registrations that the settings ask for. address is the public URL of the source, without a slash at its end. It needs no
	// call. Of several secrets it takes the last one, which is the newest.
	Wanted(address string) []Registration

	// Registered requests the registrations of the account, also those of other systems. It fails with ErrUntold if the API does not tell them.
	Registered(ctx context.Context) ([]Registration, error)

	// Register makes a registration. A provider with only one replaces it.
	Register(ctx context.Context, wanted Registration) error

	// Unregister removes a registration.
	Unregister(ctx context.Context, had Registration) error
}

// ErrUntold means that the provider's API does not tell what is registered.
var ErrUntold = errors.New("the provider's API does not tell what is registered")

// Registration is an address at which a provider sends callbacks.
type Registration struct {
	Sends string // which callbacks, as the provider names them: "all"; empty for every kind
	URL   string // a secret if it contains a token
	Key   Key    // authenticates these callbacks; the zero value for a registration that the provider returned
}

// Pasted is a value that a person enters at a provider without an API for registrations.
type Pasted struct {
	Field   string // as the provider's page names it
	Value   string
	Setting string // the setting that has the value, if it is a secret: "webhook.secrets[0]"; then it is printed only on request
}

// Tester makes callbacks that report no fact, so that an operator can test the way from the public address to the log.
type Tester func(src config.Source, at Test) ([]Request, error)

// Test is one test of a source.
type Test struct {
	ID  string // makes the events of this test different from others
	Now time.Time
	Key *rsa.PrivateKey // the provider's, for a source of the sandbox; nil if only the provider has it
}

// ErrOnlyProviderSigns means that a callback cannot be made, because only the provider has the key that signs it.
var ErrOnlyProviderSigns = errors.New("only the provider can sign its callbacks")

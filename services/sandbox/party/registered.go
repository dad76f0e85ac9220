package party

import (
	"slices"
	"sync"

	"github.com/signrelay/signrelay/libs/config"
)

// Registered is an address that an account registered for callbacks, through the provider's API.
type Registered struct {
	Sends  string // the provider's name of the callbacks that it gets; empty for all
	URL    string
	Secret string // signs the callbacks, if the provider signs them with a key of the account
}

// registry has the registered addresses of each source. An account without any calls ingest's address in the settings.
type registry struct {
	mu   sync.Mutex
	have map[string][]Registered
}

func registryKey(provider, source string) string { return provider + "/" + source }

// Register adds an address of a source.
func (s *Callbacks) Register(provider, source string, r Registered) {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	key := registryKey(provider, source)
	s.registry.have[key] = append(s.registry.have[key], r)
}

// Unregister removes the addresses of a source that fit.
func (s *Callbacks) Unregister(provider, source string, fits func(Registered) bool) {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	key := registryKey(provider, source)
	s.registry.have[key] = slices.DeleteFunc(s.registry.have[key], fits)
}

// Registrations returns the addresses of a source.
func (s *Callbacks) Registrations(provider, source string) []Registered {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	return slices.Clone(s.registry.have[registryKey(provider, source)])
}

// target is an address to which a callback goes, and the source whose settings sign it.
type target struct {
	address string
	source  config.Source
}

// targets returns where a callback goes. An account that registered addresses for other callbacks only does not get it.
func (s *Callbacks) targets(source config.Source, c Callback) []target {
	registered := s.Registrations(source.Provider, source.Name)
	if len(registered) == 0 {
		address := s.ingest + "/webhooks/" + source.Provider + "/" + source.Name + c.Request.Route
		return []target{{address, source}}
	}
	var all []target
	for _, r := range registered {
		if r.Sends != "" && r.Sends != c.Event {
			continue
		}
		signedBy := source
		if r.Secret != "" {
			signedBy = source.With("webhook.secrets=" + r.Secret)
		}
		all = append(all, target{r.URL, signedBy})
	}
	return all
}

// Package registration compares what a provider has registered for a source with the settings, registers the source's public address, and tests
// the way from that address to the log.
package registration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// Source is a source and the address at which its provider is to call.
type Source struct {
	Settings config.Source
	Pack     pack.Pack
	API      pack.API // nil if the settings have no API for it
	Address  string   // https://sign.acme.example/webhooks/pleasesign/onboarding
}

// NewSource returns the source at a public URL, such as https://sign.acme.example.
func NewSource(src providers.Source, public string) (Source, error) {
	p, known := providers.ByName(src.Settings.Provider)
	if !known {
		return Source{}, fmt.Errorf("no provider is named %q", src.Settings.Provider)
	}
	u, err := url.Parse(public)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Source{}, errors.New("the public URL is not an https URL of a host, such as https://sign.acme.example")
	}
	address := strings.TrimRight(public, "/") + "/webhooks/" + p.Name + "/" + src.Settings.Name
	return Source{Settings: src.Settings, Pack: p, API: src.API, Address: address}, nil
}

// registry returns the API of registrations.
func (s Source) registry() (pack.Registry, error) {
	registry, ok := s.API.(pack.Registry)
	switch {
	case s.API == nil:
		return nil, fmt.Errorf("source %s/%s has no api in the settings, so its provider cannot be called", s.Settings.Provider, s.Settings.Name)
	case !ok:
		return nil, fmt.Errorf("%s has no API that registers an address: signrelay source connect says what to enter on its pages", s.Settings.Provider)
	}
	return registry, nil
}

// Pasted lists what a person enters on the provider's pages; nil if the provider has an API for it.
func (s Source) Pasted() []pack.Pasted {
	if s.Pack.Paste == nil {
		return nil
	}
	return s.Pack.Paste(s.Settings, s.Address)
}

// Change is one call of the provider's API.
type Change struct {
	Remove bool // otherwise it is registered
	pack.Registration
}

// Plan says what is registered, and what is to be changed, in this order: what is new comes before what is old, so that no callback is lost.
type Plan struct {
	Told    bool                // the provider told what it has; otherwise Right and Changes follow from what was registered last
	Right   []pack.Registration // as wanted
	Changes []Change
	Others  int       // registrations of other addresses, which are left alone
	Last    Record    // what Signrelay registered last
	Old     time.Time // until then the provider may send callbacks with a secret before the last one; zero if that is not known
}

// Plan compares the provider's registrations with the settings.
func (s Source) Plan(ctx context.Context, js jetstream.JetStream) (Plan, error) {
	registry, err := s.registry()
	if err != nil {
		return Plan{}, err
	}
	var p Plan
	if p.Last, err = s.last(ctx, js); err != nil {
		return Plan{}, err
	}
	wanted := registry.Wanted(s.Address)
	have, err := registry.Registered(ctx)
	switch {
	case errors.Is(err, pack.ErrUntold):
		if p.Last.fits(wanted) {
			p.Right = wanted
		} else {
			for _, w := range wanted {
				p.Changes = append(p.Changes, Change{Registration: w})
			}
		}
	case err != nil:
		return Plan{}, err
	default:
		p.Told = true
		p.compare(wanted, have)
	}
	if p.Last.fits(wanted) {
		p.Old = p.Last.At.Add(s.retries())
	}
	return p, nil
}

// compare fills in what is right, what is missing, and what has our address with another token.
func (p *Plan) compare(wanted, have []pack.Registration) {
	used := make([]bool, len(have))
	for _, w := range wanted {
		found := false
		for i, h := range have {
			if h.Sends == w.Sends && h.URL == w.URL {
				found, used[i] = true, true
			}
		}
		if found {
			p.Right = append(p.Right, w)
		} else {
			p.Changes = append(p.Changes, Change{Registration: w})
		}
	}
	for i, h := range have {
		old := false
		for _, w := range wanted {
			old = old || withoutQuery(h.URL) == withoutQuery(w.URL) && h.URL != w.URL
		}
		switch {
		case used[i]:
		case old:
			p.Changes = append(p.Changes, Change{Remove: true, Registration: h})
		default:
			p.Others++
		}
	}
}

// retries is the time for which the provider repeats a callback.
func (s Source) retries() time.Duration {
	if reporter, ok := s.API.(pack.Reporter); ok {
		return reporter.Reporting().Retries
	}
	return 0
}

func withoutQuery(address string) string {
	address, _, _ = strings.Cut(address, "?")
	return address
}

// Apply makes the changes of a plan, and records what is registered.
func (s Source) Apply(ctx context.Context, js jetstream.JetStream, p Plan, now time.Time) error {
	registry, err := s.registry()
	if err != nil {
		return err
	}
	for _, c := range p.Changes {
		if c.Remove {
			err = registry.Unregister(ctx, c.Registration)
		} else {
			err = registry.Register(ctx, c.Registration)
		}
		if err != nil {
			return err
		}
	}
	return s.record(ctx, js, registry.Wanted(s.Address), now)
}

// Record is what Signrelay registered last. It has no secret: neither a key nor an address with a token.
type Record struct {
	At      time.Time `json:"at,omitzero"`
	Address string    `json:"address,omitempty"`
	Key     string    `json:"key,omitempty"` // the fingerprint of the key that signs callbacks; empty for a token
	Setting string    `json:"setting,omitempty"`
}

// fits reports whether the record is about these registrations.
func (r Record) fits(wanted []pack.Registration) bool {
	return !r.At.IsZero() && r == recordOf(wanted, r.At)
}

func recordOf(wanted []pack.Registration, at time.Time) Record {
	r := Record{At: at}
	if len(wanted) > 0 {
		r.Address, r.Key, r.Setting = withoutQuery(wanted[0].URL), wanted[0].Key.Fingerprint, wanted[0].Key.Setting
	}
	return r
}

func (s Source) last(ctx context.Context, js jetstream.JetStream) (Record, error) {
	state, err := js.KeyValue(ctx, flow.State)
	if err != nil {
		return Record{}, fmt.Errorf("open bucket %s: %w", flow.State, err)
	}
	stored, err := state.Get(ctx, flow.Registered(s.Settings.Provider, s.Settings.Name))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Record{}, nil
	}
	var r Record
	if err == nil {
		err = json.Unmarshal(stored.Value(), &r)
	}
	if err != nil {
		return Record{}, fmt.Errorf("read what was registered: %w", err)
	}
	return r, nil
}

func (s Source) record(ctx context.Context, js jetstream.JetStream, wanted []pack.Registration, now time.Time) error {
	data, err := json.Marshal(recordOf(wanted, now.UTC()))
	if err != nil {
		return fmt.Errorf("encode what was registered: %w", err)
	}
	state, err := js.KeyValue(ctx, flow.State)
	if err == nil {
		_, err = state.Put(ctx, flow.Registered(s.Settings.Provider, s.Settings.Name), data)
	}
	if err != nil {
		return fmt.Errorf("it is registered, but that could not be recorded: %w", err)
	}
	return nil
}

package service

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/oauth"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/telemetry"
)

// Sources opens the sources of the settings, with the clients of their APIs. The clients keep to a budget of each source's rate and stop while a
// provider returns only errors. A source whose application signs in has a check in /readyz?verbose.
func (e Env) Sources(budget providers.Budget) (*config.Current[providers.Sources], error) {
	tokens, err := e.tokens()
	if err != nil {
		return nil, err
	}
	circuit := func(vendor string) (*limit.Breaker, error) { return e.Circuit(vendor, CircuitPauses) }
	return config.Derive(e.Live, func(c config.Config) (providers.Sources, error) {
		return providers.Open(c.Sources, budget, e.Limits, circuit, tokens)
	})
}

// tokens opens the tokens of the sources whose applications sign in.
func (e Env) tokens() (*oauth.Store, error) {
	var needed *prometheus.GaugeVec
	err := telemetry.Register(e.Metrics, &needed, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "signrelay_needed_sign_ins", Help: "1 while a person must sign in at the provider, so that its API can be called for a source, else 0.",
	}, []string{"source", "provider"}))
	if err != nil {
		return nil, err
	}
	store := oauth.NewStore(e.JS, keyring.New(e.Config.MasterKeys()), func(provider, source, reason string) {
		if reason == "" {
			needed.WithLabelValues(source, provider).Set(0)
			e.Log.Info("the access to the provider's API works again", "source", source, "provider", provider)
			return
		}
		needed.WithLabelValues(source, provider).Set(1)
		e.Log.Error("the provider's API cannot be called: run `signrelay source sign-in`", "source", source, "provider", provider, "reason", reason)
	})
	for _, s := range e.Config.Sources {
		app, used := providers.OAuth(s)
		if !used {
			continue
		}
		needed.WithLabelValues(s.Name, s.Provider).Set(0)
		src := store.Source(s.Provider, s.Name, app)
		e.Health.AddSoft(e.Name+" sign-in "+s.Provider+"/"+s.Name, func(ctx context.Context) error {
			is, err := src.Status(ctx)
			if err == nil && !is.SignedIn {
				err = &oauth.SignInError{Provider: s.Provider, Source: s.Name, Reason: is.Refused}
			}
			return err
		})
	}
	return store, nil
}

package providers

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/oauth"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// SourceKey names a source: a name is unique only within its provider.
type SourceKey struct{ Name, Provider string }

// Source is one account at one provider, with the client of its API.
type Source struct {
	Settings config.Source
	API      pack.API // nil if the settings have no API for it
}

// Sources are all sources of the settings.
type Sources map[SourceKey]Source

// Budget is a share of the calls a minute that a source's API allows. The shares are separate, so that clicks on links cannot use up the
// calls for notifications, and the reverse. A Retry-After pauses only the budget whose call received it.
type Budget struct {
	key     string
	percent int
}

// The shares add up to 100%.
var (
	ForEvents = Budget{flow.RateAPI, 65}    // for the enricher and for operators' commands
	ForClicks = Budget{flow.RateClicks, 25} // for the shortener, which requests the target of a clicked link
	ForFiles  = Budget{flow.RateFiles, 10}  // for the archiver, whose files can wait
)

// Open makes the API client of each source. All clients share one transport, so that connections are reused. Each client keeps to its budget
// of the source's rate, which all replicas share, and uses the breaker that circuit returns for the source's name; nil means no breaker.
// tokens has the access of sources whose application signs in. Open returns all mistakes as one error.
func Open(
	settings []config.Source, budget Budget, limits limit.Limiter, circuit func(vendor string) (*limit.Breaker, error), tokens *oauth.Store,
) (Sources, error) {
	transport := newTransport()
	sources := make(Sources, len(settings))
	var mistakes []error
	for _, s := range settings {
		p, ok := ByName(s.Provider)
		if !ok {
			mistakes = append(mistakes, fmt.Errorf("source %s: no provider is named %q", s.Name, s.Provider))
			continue
		}
		src := Source{Settings: s}
		if s.UsesAPI() {
			calls := limited(transport, limits, budget, p, s)
			if circuit != nil {
				var err error
				if calls.Circuit, err = circuit(s.Provider + "/" + s.Name); err != nil {
					return nil, err
				}
			}
			client := &http.Client{Transport: calls, Timeout: responseTimeout}
			if app, used := OAuth(s); used {
				if tokens == nil {
					mistakes = append(mistakes, fmt.Errorf("source %s: the tokens of its application cannot be read", s.Name))
					continue
				}
				client.Transport = oauth.Transport{Base: calls, Source: tokens.Source(s.Provider, s.Name, app)}
			}
			api, err := p.API(s, client)
			if err != nil {
				mistakes = append(mistakes, fmt.Errorf("source %s: %w", s.Name, err))
				continue
			}
			src.API = api
		}
		sources[SourceKey{s.Name, s.Provider}] = src
	}
	return sources, errors.Join(mistakes...)
}

// OAuth returns the application of a source; used is false if the source has other credentials.
func OAuth(s config.Source) (app oauth.Application, used bool) {
	p, ok := ByName(s.Provider)
	if !ok || p.OAuth == nil {
		return app, false
	}
	return p.OAuth(s)
}

// responseTimeout bounds one response of a provider, including its body and the wait for a slot. It is shorter than the enricher's 30 s, so
// that an attempt ends with the provider's error and not with the stage's.
const responseTimeout = 20 * time.Second

// perHost is the number of idle connections to one provider that are kept: one for each of the enricher's workers.
const perHost = 16

// idleFor is the time for which an idle connection is kept.
const idleFor = 90 * time.Second

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: perHost, IdleConnTimeout: idleFor, TLSHandshakeTimeout: responseTimeout / 2,
	}
}

// maxWait is the maximum time for which a call waits for its slot. With a longer wait, one busy source could occupy every worker.
const maxWait = 2 * time.Second

// limited limits a source's calls to its budget, at least one a minute. The burst is one second's worth of calls.
func limited(base http.RoundTripper, limits limit.Limiter, budget Budget, p pack.Pack, s config.Source) limit.Transport {
	perMinute := s.API.PerMinute
	if perMinute == 0 {
		perMinute = p.PerMinute
	}
	perMinute = max(perMinute*budget.percent/100, 1)
	return limit.Transport{
		Base: base, Limiter: limits, Key: budget.key + "/" + s.Provider + "/" + s.Name, MaxWait: maxWait,
		Rate: limit.Rate{Count: perMinute, Per: time.Minute, Burst: max(perMinute/60, 10)},
	}
}

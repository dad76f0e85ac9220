package providers

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// SourceKey names a source: its name is unique within its provider only.
type SourceKey struct{ Name, Provider string }

// Source is one account at one provider, and how it is asked.
type Source struct {
	Settings config.Source
	API      pack.API // nil where the settings say nothing of it
}

// Sources is every source of the settings.
type Sources map[SourceKey]Source

// Budget is a part of the calls a minute that a source's API takes. The parts are apart, so that those who click on links cannot use up the
// calls that tell signers of their documents, nor the other way round; a Retry-After pauses the part that it answered.
type Budget struct {
	key     string
	percent int
}

// The parts are 100% together.
var (
	ForEvents = Budget{flow.RateAPI, 75}    // of the enricher, and of operators' commands
	ForClicks = Budget{flow.RateClicks, 25} // of the shortener, which asks where a clicked link leads
)

// Open makes each source's API client once. All share one transport, so that connections are kept; each keeps to its part of
// the source's rate, which all replicas share, and has the circuit that circuit makes of its name; nil for none. All mistakes come
// back as one error.
func Open(
	settings []config.Source, budget Budget, limits limit.Limiter, circuit func(vendor string) (*limit.Breaker, error),
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
		if s.API.Set() {
			calls := limited(transport, limits, budget, p, s)
			if circuit != nil {
				var err error
				if calls.Circuit, err = circuit(s.Provider + "/" + s.Name); err != nil {
					return nil, err
				}
			}
			client := &http.Client{Transport: calls, Timeout: answerWithin}
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

// answerWithin is how long a provider may take for one answer, its body and its place in the queue included: shorter than
// the enricher's 30 s, so that an attempt ends with the provider's error and not with the stage's.
const answerWithin = 20 * time.Second

// perHost is how many connections to one provider are kept: one for each of the enricher's workers.
const perHost = 16

// idleFor is how long a connection is kept for the next question.
const idleFor = 90 * time.Second

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: perHost, IdleConnTimeout: idleFor, TLSHandshakeTimeout: answerWithin / 2,
	}
}

// patience is how long a call waits for its place: longer, and one busy source's calls would hold every worker.
const patience = 2 * time.Second

// limited keeps a source's calls to its part of the rate, one a minute at least. A second's worth of them may come at once.
func limited(base http.RoundTripper, limits limit.Limiter, budget Budget, p pack.Pack, s config.Source) limit.Transport {
	perMinute := s.API.PerMinute
	if perMinute == 0 {
		perMinute = p.PerMinute
	}
	perMinute = max(perMinute*budget.percent/100, 1)
	return limit.Transport{
		Base: base, Limiter: limits, Key: budget.key + "/" + s.Provider + "/" + s.Name, MaxWait: patience,
		Rate: limit.Rate{Count: perMinute, Per: time.Minute, Burst: max(perMinute/60, 10)},
	}
}

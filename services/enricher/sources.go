package enricher

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// sourceKey names a source: its name is unique within its provider only.
type sourceKey struct{ name, provider string }

// source is one account at one provider, and how it is asked.
type source struct {
	settings config.Source
	api      pack.API // nil where the provider has none, or the settings none for this source
}

// openSources makes each source's API client once. All share one transport, so that connections are kept.
func openSources(settings []config.Source) (map[sourceKey]source, error) {
	client := httpClient()
	sources := make(map[sourceKey]source, len(settings))
	var mistakes []error
	for _, s := range settings {
		p, ok := providers.ByName(s.Provider)
		if !ok {
			mistakes = append(mistakes, fmt.Errorf("source %s: no provider is named %q", s.Name, s.Provider))
			continue
		}
		src := source{settings: s}
		if p.API != nil && s.API != (config.API{}) {
			api, err := p.API(s, client)
			if err != nil {
				mistakes = append(mistakes, fmt.Errorf("source %s: %w", s.Name, err))
				continue
			}
			src.api = api
		}
		sources[sourceKey{s.Name, s.Provider}] = src
	}
	return sources, errors.Join(mistakes...)
}

// answerWithin is how long a provider may take for one answer, its body included: shorter than the stage's 30 s, so that
// an attempt ends with the provider's error and not with the stage's.
const answerWithin = 20 * time.Second

// perHost is how many connections to one provider are kept: one for each of the stage's workers.
const perHost = 16

// idleFor is how long a connection is kept for the next question.
const idleFor = 90 * time.Second

func httpClient() *http.Client {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: perHost, IdleConnTimeout: idleFor, TLSHandshakeTimeout: answerWithin / 2,
	}
	return &http.Client{Transport: transport, Timeout: answerWithin, CheckRedirect: sameHost}
}

// sameHost follows a redirect only within the scheme and host that was asked: the request carries the source's token,
// and its answer is believed.
func sameHost(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if next.URL.Scheme != first.Scheme || next.URL.Host != first.Host || len(via) > 3 {
		return http.ErrUseLastResponse
	}
	return nil
}

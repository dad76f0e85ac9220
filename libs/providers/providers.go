// Package providers lists the packs: one line for each provider, sorted by name.
package providers

import (
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/clickwrap"
	"github.com/signrelay/signrelay/libs/providers/esignv1"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/pleasesign"
)

// All lists every supported provider.
var All = []pack.Pack{
	clickwrap.Pack,
	esignv1.Pack,
	pleasesign.Pack,
}

// Settings is the entry of the sources in a list of settings: a source has the settings that its provider's pack declares.
var Settings = settings()

func settings() config.Declared {
	var all []config.SourceDeclared
	for _, p := range All {
		if p.Settings != nil {
			all = append(all, p.Settings)
		}
	}
	return config.SourcesOf(all...)
}

// NewSource returns a source with these settings, each written as in "webhook.secrets=one,two". Provider and keys are written in the code, so one
// that does not exist is a programming error and panics.
func NewSource(provider, name string, settings ...string) config.Source {
	p, ok := ByName(provider)
	if !ok {
		panic("providers: no provider is named " + provider)
	}
	return p.Settings.New(name).With(settings...)
}

// ByName returns the pack with that name; false if there is none.
func ByName(name string) (pack.Pack, bool) {
	for _, p := range All {
		if p.Name == name {
			return p, true
		}
	}
	return pack.Pack{}, false
}

// Package providers lists the packs: one line for each provider, sorted by name.
package providers

import (
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

// ByName returns the pack with that name; false if there is none.
func ByName(name string) (pack.Pack, bool) {
	for _, p := range All {
		if p.Name == name {
			return p, true
		}
	}
	return pack.Pack{}, false
}

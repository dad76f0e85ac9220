// Package providers lists the packs: one line a provider, in the order of their names.
package providers

import (
	"github.com/signrelay/signrelay/libs/providers/clickwrap"
	"github.com/signrelay/signrelay/libs/providers/esignv1"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/pleasesign"
)

// All is every provider that Signrelay speaks with.
var All = []pack.Pack{
	clickwrap.Pack,
	esignv1.Pack,
	pleasesign.Pack,
}

// ByName is the pack of that name; false where there is none.
func ByName(name string) (pack.Pack, bool) {
	for _, p := range All {
		if p.Name == name {
			return p, true
		}
	}
	return pack.Pack{}, false
}

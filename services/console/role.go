package console

import (
	"slices"
	"strings"

	consolesettings "github.com/signrelay/signrelay/services/console/settings"
)

// Role is a set of roles.
type Role uint8

// The roles. Anyone is for pages that a reader needs before the sign-in. Every reader has it. The zero Role is no role: no page may need it.
const (
	Anyone Role = 1 << iota
	Look
	Operate
	Private // sees names, addresses, numbers, titles and texts
	Erase
)

var roleNames = map[string]Role{"look": Look, "operate": Operate, "private": Private, "erase": Erase}

// rolesOf returns the set of named roles. Each role includes look.
func rolesOf(names []string) Role {
	roles := Anyone
	for _, name := range names {
		roles |= roleNames[name] | Look
	}
	return roles
}

// Has reports whether the set has all the wanted roles.
func (r Role) Has(wanted Role) bool { return r&wanted == wanted }

// Names returns the names of the roles, the weakest first.
func (r Role) Names() []string {
	return slices.DeleteFunc(slices.Clone(consolesettings.Roles), func(name string) bool { return r&roleNames[name] == 0 })
}

func (r Role) String() string { return strings.Join(r.Names(), ", ") }

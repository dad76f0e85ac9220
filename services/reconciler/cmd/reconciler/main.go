// Command reconciler asks the providers for facts that no callback brought.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/reconciler"
	"github.com/signrelay/signrelay/services/sections"
)

func main() { service.Main(reconciler.Service, sections.All) }

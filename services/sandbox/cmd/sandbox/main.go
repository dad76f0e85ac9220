// Command sandbox runs the sandbox alone.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sandbox"
	"github.com/signrelay/signrelay/services/sections"
)

func main() { service.Main(sandbox.Service, sections.All) }

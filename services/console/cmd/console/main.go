// Command console shows operators the flow and each document in a browser, and does what they ask for.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/console"
	"github.com/signrelay/signrelay/services/sections"
)

func main() { service.Main(console.Service, sections.All) }

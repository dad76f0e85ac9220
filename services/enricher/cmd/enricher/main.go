// Command enricher requests documents from the providers, and decides which person gets which message.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/enricher"
	"github.com/signrelay/signrelay/services/sections"
)

func main() { service.Main(enricher.Service, sections.All) }

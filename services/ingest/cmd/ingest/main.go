// Command ingest stores providers' callbacks in the log.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/ingest"
	"github.com/signrelay/signrelay/services/sections"
)

func main() { service.Main(ingest.Service, sections.All) }

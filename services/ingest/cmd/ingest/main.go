// Command ingest takes providers' callbacks into the log.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/ingest"
	"github.com/signrelay/signrelay/services/sections"
)

func main() { service.Main(ingest.Service, sections.All) }

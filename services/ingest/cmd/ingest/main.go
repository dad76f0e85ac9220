// Command ingest takes providers' callbacks into the log.
package main

import (
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/ingest"
)

func main() {
	service.Main(service.Service{
		Name:          "ingest",
		Run:           ingest.Run,
		Public:        func(c config.Config) string { return c.Ingest.Addr },
		NeedsRedis:    true,
		OutlivesRedis: true, // the log and the stream's own window stand in
	})
}

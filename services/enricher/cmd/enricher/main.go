// Command enricher asks providers who must be told what.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/enricher"
)

func main() {
	service.Main(service.Service{
		Name:          "enricher",
		Run:           enricher.Run,
		NeedsRedis:    true,
		OutlivesRedis: true, // a rate is then kept within each process
	})
}

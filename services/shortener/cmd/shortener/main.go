// Command shortener makes short links and serves them.
package main

import (
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/shortener"
)

func main() {
	service.Main(service.Service{
		Name:          "shortener",
		Run:           shortener.Run,
		Public:        func(c config.Config) string { return c.Links.Addr },
		NeedsRedis:    true,
		OutlivesRedis: true, // links open, and a rate is kept within each process
	})
}

// Command enricher asks providers who must be told what.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/enricher"
)

func main() { service.Main(enricher.Service) }

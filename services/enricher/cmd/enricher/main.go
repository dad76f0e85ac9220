// Command enricher runs the enricher alone.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/enricher"
)

func main() { service.Main("enricher", enricher.Run) }

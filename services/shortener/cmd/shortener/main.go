// Command shortener makes short links and serves them.
package main

import (
	_ "github.com/signrelay/signrelay/libs/archive/drivers"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sections"
	"github.com/signrelay/signrelay/services/shortener"
)

func main() { service.Main(shortener.Service, sections.All) }

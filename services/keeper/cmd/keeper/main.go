// Command keeper erases documents after their retention period, and copies events under a legal hold.
package main

import (
	_ "github.com/signrelay/signrelay/libs/archive/drivers"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/keeper"
	"github.com/signrelay/signrelay/services/sections"
)

func main() { service.Main(keeper.Service, sections.All) }

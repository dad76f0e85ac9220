// Command archiver stores the files of completed documents.
package main

import (
	_ "github.com/signrelay/signrelay/libs/archive/drivers"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/archiver"
	"github.com/signrelay/signrelay/services/sections"
)

func main() { service.Main(archiver.Service, sections.All) }

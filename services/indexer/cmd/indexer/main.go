// Command indexer keeps the search index of documents up to date.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/indexer"
	"github.com/signrelay/signrelay/services/sections"
)

func main() { service.Main(indexer.Service, sections.All) }

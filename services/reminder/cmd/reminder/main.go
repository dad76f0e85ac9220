// Command reminder reminds people who have not signed.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/reminder"
	"github.com/signrelay/signrelay/services/sections"
)

func main() { service.Main(reminder.Service, sections.All) }

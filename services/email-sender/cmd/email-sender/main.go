// Command email-sender sends e-mails.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	emailsender "github.com/signrelay/signrelay/services/email-sender"
	"github.com/signrelay/signrelay/services/sections"
)

func main() { service.Main(emailsender.Service, sections.All) }

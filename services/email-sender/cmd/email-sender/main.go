// Command email-sender sends e-mails.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	emailsender "github.com/signrelay/signrelay/services/email-sender"
)

func main() { service.Main(emailsender.Service) }

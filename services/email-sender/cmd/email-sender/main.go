// Command email-sender runs the e-mail sender alone.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	emailsender "github.com/signrelay/signrelay/services/email-sender"
)

func main() { service.Main("email-sender", emailsender.Run) }

// Command sms-sender runs the SMS sender alone.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	smssender "github.com/signrelay/signrelay/services/sms-sender"
)

func main() { service.Main("sms-sender", smssender.Run) }

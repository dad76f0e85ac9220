// Command sms-sender sends text messages.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	smssender "github.com/signrelay/signrelay/services/sms-sender"
)

func main() {
	service.Main(service.Service{
		Name:       "sms-sender",
		Run:        smssender.Run,
		NeedsRedis: true,
	})
}

// Command sms-sender sends text messages, and receives their delivery receipts.
package main

import (
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sections"
	smssender "github.com/signrelay/signrelay/services/sms-sender"
)

func main() { service.Main(smssender.Service, sections.All) }

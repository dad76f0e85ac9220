// Package smssettings contains the settings of the SMS sender.
package smssettings

import "github.com/signrelay/signrelay/libs/config"

// Receipts is the key receipts, the listener of POST|GET /receipts/vonage/{source}: SIGNRELAY_RECEIPTS_ADDR.
var Receipts = config.ListenSection("receipts", "127.0.0.1:8084")

// Package sections lists the settings of all services. Every program loads all of them, because the services share one settings file: a
// program accepts and checks the sections of the other services too.
package sections

import (
	"github.com/signrelay/signrelay/libs/config"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

// All is in the order in which settings are printed and checked.
var All = []config.Declared{
	config.Shared("sources"),
	config.Shared("sms"),
	config.Shared("email"),
	config.Shared("limits"),
	config.Shared("shortener"),
	config.Shared("templates"),
	config.Shared("nats"),
	config.Shared("redis"),
	kafkasettings.Section,
	config.Shared("hide_sources"),
	config.Shared("ingest"),
	config.Shared("links"),
	config.Shared("receipts"),
	config.Shared("sandbox"),
	config.Shared("admin"),
	config.Shared("drain_delay"),
	config.Shared("master_key"),
	config.Shared("data_dir"),
	config.Shared("log"),
}

// Package sections lists the settings of all services. Every program loads all of them, because the services share one settings file: a
// program accepts and checks the sections of the other services too.
package sections

import (
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
	consolesettings "github.com/signrelay/signrelay/services/console/settings"
	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
	indexsettings "github.com/signrelay/signrelay/services/indexer/settings"
	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
	standalonesettings "github.com/signrelay/signrelay/services/standalone/settings"
)

// All is in the order in which settings are printed and checked.
var All = []config.Declared{
	providers.Settings,
	smssettings.VonageSection,
	smssettings.OptOutSection,
	emailsettings.Section,
	config.Shared("limits"),
	shortenersettings.Section,
	config.Shared("templates"),
	config.Shared("nats"),
	config.Shared("redis"),
	kafkasettings.Section,
	standalonesettings.Section,
	archivesettings.Section,
	indexsettings.Section,
	config.Shared("hide_sources"),
	ingestsettings.Section,
	shortenersettings.Links,
	smssettings.Receipts,
	sandboxsettings.Section,
	consolesettings.Section,
	config.Shared("tls"),
	consolesettings.PricesSection,
	config.Shared("admin"),
	config.Shared("drain_delay"),
	config.Shared("master_key"),
	config.Shared("data_dir"),
	config.Shared("log"),
}

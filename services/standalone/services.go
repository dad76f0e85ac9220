package standalone

import (
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/archiver"
	"github.com/signrelay/signrelay/services/console"
	emailsender "github.com/signrelay/signrelay/services/email-sender"
	"github.com/signrelay/signrelay/services/enricher"
	"github.com/signrelay/signrelay/services/indexer"
	"github.com/signrelay/signrelay/services/ingest"
	kafkabridge "github.com/signrelay/signrelay/services/kafka-bridge"
	"github.com/signrelay/signrelay/services/keeper"
	"github.com/signrelay/signrelay/services/reconciler"
	"github.com/signrelay/signrelay/services/reminder"
	"github.com/signrelay/signrelay/services/sandbox"
	"github.com/signrelay/signrelay/services/shortener"
	smssender "github.com/signrelay/signrelay/services/sms-sender"
	standalonesettings "github.com/signrelay/signrelay/services/standalone/settings"
)

// Services lists all services that have their own programs, in the order of the flow.
var Services = []service.Service{
	ingest.Service,
	enricher.Service,
	shortener.Service,
	smssender.Service,
	emailsender.Service,
	kafkabridge.Service,
	sandbox.Service,
	reminder.Service,
	reconciler.Service,
	keeper.Service,
	archiver.Service,
	console.Service,
	indexer.Service,
}

// Sections lists the settings of the command line. No service reads them.
var Sections = []config.Declared{standalonesettings.Section}

package clickwrap_test

import (
	"testing"

	"github.com/signrelay/signrelay/libs/providers/clickwrap"
	"github.com/signrelay/signrelay/libs/providers/providertest"
)

var setup = providertest.Setup{
	Source:      clickwrap.Settings.New("demo").With("webhook.secrets=12345"),
	Credentials: []string{"Pactsafe-Webhook-Token"},
}

func TestPack(t *testing.T) {
	t.Parallel()
	providertest.Run(t, clickwrap.Pack, setup)
}

func FuzzPack(f *testing.F) { providertest.Fuzz(f, clickwrap.Pack, setup) }

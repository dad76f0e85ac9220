package pleasesign_test

import (
	"testing"

	"github.com/signrelay/signrelay/libs/providers/pleasesign"
	"github.com/signrelay/signrelay/libs/providers/providertest"
)

var setup = providertest.Setup{
	Source:      pleasesign.Settings.New("demo").With("webhook.secrets=test"),
	Credentials: []string{"X-Pleasesign-Signature"},
}

func TestPack(t *testing.T) {
	t.Parallel()
	providertest.Run(t, pleasesign.Pack, setup)
}

func FuzzPack(f *testing.F) { providertest.Fuzz(f, pleasesign.Pack, setup) }

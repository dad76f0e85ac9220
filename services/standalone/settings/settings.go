// Package standalonesettings contains the settings of the command line.
package standalonesettings

import (
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/evidence/signkey"
)

// Evidence is the settings of evidence files (`signrelay evidence`).
type Evidence struct {
	// Key is the private Ed25519 key that signs evidence files, as PEM (PKCS #8): SIGNRELAY_EVIDENCE_KEY_FILE. `signrelay evidence key <file>`
	// makes one. Empty: the command refuses to make files.
	Key string `yaml:"key" secret:"true" file:"once" lines:"true"`
}

// Section is the key evidence.
var Section = &config.Section[Evidence]{
	Key: "evidence",
	Check: func(c *config.Checker, e Evidence, _ config.Config) {
		if e.Key == "" {
			return
		}
		if _, err := signkey.Parse(e.Key); err != nil {
			c.Mistake("evidence.key", "%v", err)
		}
	},
}

// Package sandboxsettings is the settings of the sandbox.
package sandboxsettings

import "github.com/signrelay/signrelay/libs/config"

// Sandbox imitates providers, Vonage and a mail server.
type Sandbox struct {
	Addr      string   `yaml:"addr"`
	Hosts     []string `yaml:"hosts"`                          // as in config.Admin, for the sandbox's HTTP
	SMTPAddr  string   `yaml:"smtp_addr" variable:"SMTP_ADDR"` // its inbox
	IngestURL string   `yaml:"ingest_url"`                     // where stories are played to; default http://127.0.0.1:8080
	// Odd is how many of a hundred responses and callbacks are odd on purpose, within what the real parties may do; default 0.
	Odd int `yaml:"odd"`
	// OddSeed repeats the oddities of a run, whose log has its seed; 0, the default, makes one up.
	OddSeed int `yaml:"odd_seed"`
	// Key is the PEM of the RSA key behind the esign-v1 sources' certificate, to sign the callbacks of its scenarios.
	Key string `yaml:"key" secret:"true" file:"once" lines:"true"`
}

// Section is the key sandbox: SIGNRELAY_SANDBOX_ADDR and SIGNRELAY_SMTP_ADDR.
var Section = &config.Section[Sandbox]{
	Key:     "sandbox",
	Default: Sandbox{Addr: "127.0.0.1:8082", SMTPAddr: "127.0.0.1:2525", IngestURL: "http://127.0.0.1:8080"},
	Check:   check,
}

func check(c *config.Checker, s Sandbox, _ config.Config) {
	c.Address("sandbox.addr", s.Addr)
	c.HostNames("sandbox.hosts", s.Hosts)
	c.Address("sandbox.smtp_addr", s.SMTPAddr)
	c.WebURL("sandbox.ingest_url", s.IngestURL)
	if s.Odd < 0 || s.Odd > 100 {
		c.Mistake("sandbox.odd", "want a percentage from 0 to 100, not %d", s.Odd)
	}
}

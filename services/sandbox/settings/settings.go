// Package sandboxsettings contains the settings of the sandbox.
package sandboxsettings

import "github.com/signrelay/signrelay/libs/config"

// Sandbox imitates providers, Vonage and a mail server.
type Sandbox struct {
	Addr      string   `yaml:"addr"`
	Hosts     []string `yaml:"hosts"`                          // as in config.Admin, for the sandbox's HTTP
	SMTPAddr  string   `yaml:"smtp_addr" variable:"SMTP_ADDR"` // its inbox
	IngestURL string   `yaml:"ingest_url"`                     // the address to which stories send their callbacks; default http://127.0.0.1:8080
	// Odd is the percentage of responses and callbacks that are intentionally odd, but allowed by the real parties' documents; default 0.
	Odd int `yaml:"odd"`
	// OddSeed repeats the oddities of a run, which logs its seed. 0, the default, means a random seed.
	OddSeed int `yaml:"odd_seed"`
	// Key is the RSA key of the esign-v1 sources' certificate, as PEM. It signs the callbacks of the stories.
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

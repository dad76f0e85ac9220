package pleasesign

import "github.com/signrelay/signrelay/libs/config"

// Settings declares the settings of a source that only PleaseSign uses.
var Settings = &config.SourceSection[Source]{
	Provider: Name,
	Check:    func(c *config.Checker, key string, s Source) { c.Secrets(key+".webhook.secrets", s.Webhook.Secrets) },
}

// Source has the settings of one account.
type Source struct {
	Webhook Webhook `yaml:"webhook"`
	API     API     `yaml:"api"`
}

// Webhook has the settings that authenticate callbacks.
type Webhook struct {
	Secrets []string `yaml:"secrets" secret:"true"` // several while one is being rotated
}

// API has the credentials of the REST API.
type API struct {
	Key    string `yaml:"key" secret:"true"`
	Secret string `yaml:"secret" secret:"true"`
}

package pleasesign

import "github.com/signrelay/signrelay/libs/config"

// Settings declares the settings of a source that only PleaseSign uses.
var Settings = &config.SourceSection[Source]{
	Provider: Name,
	Default:  Source{API: API{OAuth: OAuth{BaseURL: "https://private.pleasesign.com.au"}}},
	Check: func(c *config.Checker, key string, s Source) {
		c.Secrets(key+".webhook.secrets", s.Webhook.Secrets)
		c.WebURL(key+".api.oauth.base_url", s.API.OAuth.BaseURL)
		if s.API.OAuth.ClientID != "" && (s.API.Key != "" || s.API.Secret != "") {
			c.Mistake(key+".api.oauth.client_id", "an application signs in instead of api.key and api.secret: remove them, or the application")
		}
		if s.API.OAuth.ClientID == "" && s.API.OAuth.ClientSecret != "" {
			c.Mistake(key+".api.oauth.client_id", "it is empty, and there is a client_secret: set both, or none")
		}
	},
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

// API has the credentials of the REST API: the two keys of an account, or an application that the account's owner allows to use it.
type API struct {
	Key    string `yaml:"key" secret:"true"`
	Secret string `yaml:"secret" secret:"true"`
	OAuth  OAuth  `yaml:"oauth"`
}

// OAuth is an approved application of PleaseSign.
type OAuth struct {
	ClientID     string `yaml:"client_id"`
	ClientSecret string `yaml:"client_secret" secret:"true"` // empty for an application without one
	BaseURL      string `yaml:"base_url"`                    // of /oauth/authorize and /oauth/token
}

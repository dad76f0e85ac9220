package esignv1

import "github.com/signrelay/signrelay/libs/config"

// Settings declares the settings of a source that only the eSignature API v1 uses.
var Settings = &config.SourceSection[Source]{
	Provider: Name,
	Default:  Source{Webhook: Webhook{Digest: "sha1"}},
	Check: func(c *config.Checker, key string, s Source) {
		c.OneOf(key+".webhook.digest", s.Webhook.Digest, "sha1", "sha256")
	},
}

// Source has the settings of one account.
type Source struct {
	Webhook Webhook `yaml:"webhook"`
	API     API     `yaml:"api"`
}

// Webhook has the settings that authenticate callbacks.
type Webhook struct {
	Certificate     string `yaml:"certificate" file:"true" lines:"true"` // PEM; several while it is being rotated
	Token           string `yaml:"token" secret:"true" lines:"true"`     // required as ?token=; several lines while it is being rotated
	Digest          string `yaml:"digest"`                               // sha1 (default) or sha256
	AllowUnverified bool   `yaml:"allow_unverified"`                     // accept `signed` with neither token nor signature
}

// tokens returns all accepted tokens.
func (w Webhook) tokens() []string { return config.Lines(w.Token) }

// API has the credentials of the REST API.
type API struct {
	Secret string `yaml:"secret" secret:"true"`
	User   string `yaml:"user"`
	Group  string `yaml:"group"` // accept documents of this group only; empty for every group
}

// unverified returns the setting with which a source accepts callbacks that cannot be verified; empty if it does not accept them.
func unverified(src config.Source) string {
	if Settings.Of(src).Webhook.AllowUnverified {
		return "webhook.allow_unverified"
	}
	return ""
}

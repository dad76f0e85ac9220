package shortenersettings

import "github.com/signrelay/signrelay/libs/config"

// Rebrandly is the operator's Rebrandly account.
type Rebrandly struct {
	APIKey    string `yaml:"apikey" secret:"true"`
	Workspace string `yaml:"workspace"` // its id; may be empty
	Domain    string `yaml:"domain"`    // default rebrand.ly
	BaseURL   string `yaml:"base_url"`  // default https://api.rebrandly.com
}

var defaultRebrandly = Rebrandly{Domain: "rebrand.ly", BaseURL: "https://api.rebrandly.com"}

func (r Rebrandly) check(c *config.Checker) {
	c.Needed("shortener.rebrandly.base_url", r.BaseURL)
	c.WebURL("shortener.rebrandly.base_url", r.BaseURL)
}

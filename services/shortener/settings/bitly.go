package shortenersettings

import "github.com/signrelay/signrelay/libs/config"

// Bitly is the operator's Bitly account.
type Bitly struct {
	Token   string `yaml:"token" secret:"true"`
	Domain  string `yaml:"domain"`   // default bit.ly
	Group   string `yaml:"group"`    // the group's guid
	BaseURL string `yaml:"base_url"` // default https://api-ssl.bitly.com
}

var defaultBitly = Bitly{Domain: "bit.ly", BaseURL: "https://api-ssl.bitly.com"}

func (b Bitly) check(c *config.Checker) {
	c.Needed("shortener.bitly.base_url", b.BaseURL)
	c.WebURL("shortener.bitly.base_url", b.BaseURL)
}

package consolesettings

import (
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/prices"
)

// Prices are the prices of messages, for plans and for Insight. They change nothing in what is sent. They are a section of their own, because the
// console does not get the section sms with the account's secrets.
type Prices struct {
	Currency string   `yaml:"currency"` // ISO 4217: EUR
	Texts    []string `yaml:"texts"`    // of one part of a text, by the country of the number: AU=0.0450
}

// PricesSection is the key prices.
var PricesSection = &config.Section[Prices]{
	Key: "prices",
	Check: func(c *config.Checker, p Prices, _ config.Config) {
		if _, err := prices.Parse(p.Currency, p.Texts); err != nil {
			c.Mistake("prices.texts", "%s", err)
		}
	},
}

// Known returns the prices, or none if a setting is wrong.
func (p Prices) Known() prices.Prices {
	known, _ := prices.Parse(p.Currency, p.Texts) // Check refuses mistakes at the start
	return known
}

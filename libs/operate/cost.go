package operate

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/nyaruka/phonenumbers"
	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/gsm7"
	"github.com/signrelay/signrelay/libs/templates"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// Prices are the prices of one part of a text message, by the country of the number (ISO 3166). The zero value has no prices.
type Prices struct {
	Currency string // ISO 4217: "EUR"
	Parts    map[string]*big.Rat
}

// ParsePrices reads prices such as "AU=0.0450".
func ParsePrices(currency string, parts []string) (Prices, error) {
	p := Prices{Currency: currency, Parts: map[string]*big.Rat{}}
	for _, text := range parts {
		country, amount, ok := strings.Cut(text, "=")
		price, number := new(big.Rat).SetString(strings.TrimSpace(amount))
		if country = strings.TrimSpace(country); !ok || !number || price.Sign() < 0 || len(country) != 2 || strings.ToUpper(country) != country {
			return Prices{}, fmt.Errorf("want a country and the price of one part, such as AU=0.0450, not %q", text)
		}
		p.Parts[country] = price
	}
	if len(p.Parts) > 0 && len(currency) != 3 {
		return Prices{}, fmt.Errorf("want the currency of the prices, such as EUR, not %q", currency)
	}
	return p, nil
}

// Cost is what text messages cost.
type Cost struct {
	Parts    int    `json:"parts"`
	Currency string `json:"currency,omitempty"` // empty if no price is known
	Amount   string `json:"amount,omitempty"`   // decimal, with 4 digits after the point
	Unpriced int    `json:"unpriced,omitempty"` // the parts to countries without a price
	Unknown  int    `json:"unknown,omitempty"`  // the texts whose number of parts is not known

	sum big.Rat
}

// add adds a text message.
func (c *Cost) add(o *Operator, n *notifyv1.Notification) {
	if o.Parts == nil || n == nil {
		c.Unknown++
		return
	}
	parts, err := o.Parts(n)
	if err != nil {
		c.Unknown++
		return
	}
	c.Parts += parts
	if price := o.Prices.Parts[country(n.GetTo().GetMobile())]; price != nil {
		c.sum.Add(&c.sum, new(big.Rat).Mul(price, big.NewRat(int64(parts), 1)))
		c.Currency = o.Prices.Currency
	} else {
		c.Unpriced += parts
	}
	if c.Currency != "" {
		c.Amount = c.sum.FloatString(4)
	}
}

func country(mobile string) string {
	number, err := phonenumbers.Parse(mobile, "")
	if err != nil {
		return ""
	}
	return phonenumbers.GetRegionCodeForNumber(number)
}

// TextParts returns a function for Operator.Parts. link is a link of the length that the settings produce, for messages whose link is not made yet.
func TextParts(texts *templates.Set, from templates.TextSender, link string) func(*notifyv1.Notification) (int, error) {
	return func(n *notifyv1.Notification) (int, error) {
		if n.GetLink() != nil && n.GetLink().GetShort() == "" {
			n = withLink(n, link)
		}
		text, err := texts.SMSFrom(n, from)
		if err != nil {
			return 0, err
		}
		parts, _ := gsm7.Parts(text)
		return parts, nil
	}
}

// isText reports whether a message is a text.
func isText(channel string) bool { return event.ChannelNamed(channel).Address == event.MobileNumber }

func withLink(n *notifyv1.Notification, short string) *notifyv1.Notification {
	n = proto.CloneOf(n)
	n.Link.Short = short
	return n
}

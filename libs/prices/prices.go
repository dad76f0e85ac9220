// Package prices computes what texts cost, from the prices that the operator knows.
package prices

import (
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Prices are the prices of one part of a text, by the country of the number. The zero value has no prices.
type Prices struct {
	currency string
	parts    map[string]*big.Rat
}

var (
	currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)
	priceForm    = regexp.MustCompile(`^([A-Z]{2})=([0-9]{1,6}(?:\.[0-9]{1,6})?)$`)
)

// Parse reads the prices of one part, such as "AU=0.0450", by country (ISO 3166) in a currency (ISO 4217). Without prices, the currency may be empty.
func Parse(currency string, parts []string) (Prices, error) {
	p := Prices{currency: currency, parts: map[string]*big.Rat{}}
	for _, text := range parts {
		m := priceForm.FindStringSubmatch(text)
		if m == nil || phonenumbers.GetCountryCodeForRegion(m[1]) == 0 {
			return Prices{}, fmt.Errorf("want a country and the price of one part, such as AU=0.0450, not %q", text)
		}
		if p.parts[m[1]] != nil {
			return Prices{}, fmt.Errorf("the country %s has two prices", m[1])
		}
		p.parts[m[1]], _ = new(big.Rat).SetString(m[2])
	}
	if (currency != "" || len(parts) > 0) && !currencyForm.MatchString(currency) {
		return Prices{}, fmt.Errorf("want the currency of the prices, such as EUR, not %q", currency)
	}
	return p, nil
}

// Country returns the country of a number with its country code; empty if it has none.
func Country(mobile string) string {
	if number := international(mobile); number != nil {
		if country := phonenumbers.GetRegionCodeForNumber(number); country != "" {
			return country
		}
	}
	number, err := phonenumbers.Parse(mobile, "")
	if err != nil {
		return ""
	}
	return phonenumbers.GetRegionCodeForNumber(number)
}

// international reads a number in the form of E.164 that needs no correction: to parse one of any form takes 20 µs instead of 8, and a rebuild of the
// index does so for each person. It returns nil for all other numbers.
func international(mobile string) *phonenumbers.PhoneNumber {
	digits, is := strings.CutPrefix(mobile, "+")
	if !is || len(digits) < 8 || len(digits) > 15 {
		return nil
	}
	for n := 1; n <= phonenumbers.MAX_LENGTH_COUNTRY_CODE; n++ {
		code, err := strconv.ParseUint(digits[:n], 10, 32)
		if err != nil || len(phonenumbers.GetRegionCodesForCountryCode(int(code))) == 0 {
			continue
		}
		national, err := strconv.ParseUint(digits[n:], 10, 64)
		if err != nil || digits[n] == '0' {
			return nil
		}
		short := int32(code)
		return &phonenumbers.PhoneNumber{CountryCode: &short, NationalNumber: &national}
	}
	return nil
}

// Cost is what texts cost.
type Cost struct {
	Parts    int    `json:"parts"`
	Currency string `json:"currency,omitempty"` // empty if no price is known
	Amount   string `json:"amount,omitempty"`   // decimal, with 4 digits after the point
	Unpriced int    `json:"unpriced,omitempty"` // the parts to countries without a price
	Unknown  int    `json:"unknown,omitempty"`  // the texts whose number of parts is not known

	sum big.Rat
}

// Add adds parts to numbers of a country.
func (c *Cost) Add(p Prices, country string, parts int) {
	c.Parts += parts
	price := p.parts[country]
	if price == nil {
		c.Unpriced += parts
		return
	}
	c.sum.Add(&c.sum, new(big.Rat).Mul(price, big.NewRat(int64(parts), 1)))
	c.Currency, c.Amount = p.currency, c.sum.FloatString(4)
}

// Join adds another cost at the same prices.
func (c *Cost) Join(other Cost) {
	c.Parts, c.Unpriced, c.Unknown = c.Parts+other.Parts, c.Unpriced+other.Unpriced, c.Unknown+other.Unknown
	if other.Currency != "" {
		c.sum.Add(&c.sum, &other.sum)
		c.Currency, c.Amount = other.Currency, c.sum.FloatString(4)
	}
}

// AddUnknown adds a text whose number of parts is not known.
func (c *Cost) AddUnknown() { c.Unknown++ }

// Money says what the parts with a known price cost, and how many have none: "0.27 EUR", "0.27 EUR and 3 parts without a price". It is empty if no price
// is known.
func (c Cost) Money() string {
	if c.Currency == "" {
		return ""
	}
	amount := c.Amount
	for strings.HasSuffix(amount, "0") && len(amount)-strings.IndexByte(amount, '.') > 3 {
		amount = amount[:len(amount)-1]
	}
	text := amount + " " + c.Currency
	switch {
	case c.Unpriced == 1:
		text += " and 1 part without a price"
	case c.Unpriced > 1:
		text += " and " + strconv.Itoa(c.Unpriced) + " parts without a price"
	}
	return text
}

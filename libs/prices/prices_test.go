package prices_test

import (
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/prices"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		currency string
		parts    []string
		mistake  string
	}{
		"none":                  {"", nil, ""},
		"a currency alone":      {"EUR", nil, ""},
		"two":                   {"EUR", []string{"AU=0.0450", "DE=0.07", "JP=7"}, ""},
		"no currency":           {"", []string{"AU=0.0450"}, "want the currency"},
		"no such form":          {"Euro", []string{"AU=0.0450"}, "want the currency"},
		"a currency in letters": {"eur", nil, "want the currency"},
		"a comma":               {"EUR", []string{"AU=0,0450"}, "AU=0,0450"},
		"below 0":               {"EUR", []string{"AU=-1"}, "AU=-1"},
		"not a number":          {"EUR", []string{"AU=1/3"}, "AU=1/3"},
		"an exponent":           {"EUR", []string{"AU=1e9"}, "AU=1e9"},
		"no country":            {"EUR", []string{"0.0450"}, "such as AU=0.0450"},
		"a country of nothing":  {"EUR", []string{"XX=1"}, "XX=1"},
		"a country's name":      {"EUR", []string{"Australia=1"}, "Australia=1"},
		"a country twice":       {"EUR", []string{"AU=1", "AU=2"}, "AU has two prices"},
	} {
		_, err := prices.Parse(c.currency, c.parts)
		if c.mistake == "" && err != nil || c.mistake != "" && (err == nil || !strings.Contains(err.Error(), c.mistake)) {
			t.Errorf("%s: %v, want %q", name, err, c.mistake)
		}
	}
}

func TestCost(t *testing.T) {
	t.Parallel()
	known, err := prices.Parse("EUR", []string{"AU=0.0450", "DE=0.075", "JP=7"})
	if err != nil {
		t.Fatal(err)
	}
	type text struct {
		mobile string
		parts  int
	}
	for name, c := range map[string]struct {
		known prices.Prices
		texts []text
		want  prices.Cost
		money string
	}{
		"nothing":              {known, nil, prices.Cost{}, ""},
		"no price is known":    {prices.Prices{}, []text{{"+61491570156", 2}}, prices.Cost{Parts: 2, Unpriced: 2}, ""},
		"no price of it":       {known, []text{{"+447400123456", 2}}, prices.Cost{Parts: 2, Unpriced: 2}, ""},
		"one":                  {known, []text{{"+61491570156", 2}}, prices.Cost{Parts: 2, Currency: "EUR", Amount: "0.0900"}, "0.09 EUR"},
		"two countries":        {known, []text{{"+61491570156", 1}, {"+4915112345678", 3}}, prices.Cost{Parts: 4, Currency: "EUR", Amount: "0.2700"}, "0.27 EUR"},
		"whole units":          {known, []text{{"+819012345678", 3}}, prices.Cost{Parts: 3, Currency: "EUR", Amount: "21.0000"}, "21.00 EUR"},
		"four digits":          {known, []text{{"+61491570156", 1}}, prices.Cost{Parts: 1, Currency: "EUR", Amount: "0.0450"}, "0.045 EUR"},
		"mixed, the last none": {known, []text{{"+61491570156", 2}, {"+447400123456", 1}}, prices.Cost{Parts: 3, Currency: "EUR", Amount: "0.0900", Unpriced: 1}, "0.09 EUR and 1 part without a price"},
		"mixed, the first":     {known, []text{{"+447400123456", 2}, {"+61491570156", 2}}, prices.Cost{Parts: 4, Currency: "EUR", Amount: "0.0900", Unpriced: 2}, "0.09 EUR and 2 parts without a price"},
		"no number":            {known, []text{{"", 2}}, prices.Cost{Parts: 2, Unpriced: 2}, ""},
	} {
		var got prices.Cost
		for _, one := range c.texts {
			got.Add(c.known, prices.Country(one.mobile), one.parts)
		}
		if got.Parts != c.want.Parts || got.Currency != c.want.Currency || got.Amount != c.want.Amount || got.Unpriced != c.want.Unpriced || got.Money() != c.money {
			t.Errorf("%s: %+v, %q; want %+v, %q", name, got, got.Money(), c.want, c.money)
		}
	}
}

// 0.1 EUR has no exact binary fraction. Ten thousand of them are exactly 1,000 EUR.
func TestCostIsExact(t *testing.T) {
	t.Parallel()
	known, err := prices.Parse("EUR", []string{"DE=0.1"})
	if err != nil {
		t.Fatal(err)
	}
	var sum prices.Cost
	for range 10_000 {
		sum.Add(known, "DE", 1)
	}
	if sum.Amount != "1000.0000" || sum.Money() != "1000.00 EUR" {
		t.Errorf("%+v, %q", sum, sum.Money())
	}
}

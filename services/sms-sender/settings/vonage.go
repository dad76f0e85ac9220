package smssettings

import (
	"net/url"
	"regexp"
	"time"

	"github.com/signrelay/signrelay/libs/config"
)

// Vonage is the operator's Vonage account.
type Vonage struct {
	APIKey    string        `yaml:"api_key" secret:"true"` // exactly 8 characters
	APISecret string        `yaml:"api_secret" secret:"true"`
	From      string        `yaml:"from"`     // sender id or number
	BaseURL   string        `yaml:"base_url"` // default https://rest.nexmo.com
	Timeout   time.Duration `yaml:"timeout"`  // of one call; default 10s
	// PerSecond limits the calls of all replicas together; default 30, Vonage's own limit of an API key.
	PerSecond int `yaml:"per_second"`

	// ReceiptsURL is the base URL that Vonage uses for delivery receipts, e.g. https://sign.acme.example. Each message contains
	// <ReceiptsURL>/receipts/vonage/<source>. Empty if the account's dashboard sets the URL.
	ReceiptsURL string `yaml:"receipts_url"`
	// SignatureSecret is the secret that signs receipts; without one they are refused. Several lines are several secrets, during a
	// rotation.
	SignatureSecret string `yaml:"signature_secret" secret:"true" lines:"true"`
	SignatureMethod string `yaml:"signature_method"` // md5hash (Vonage's default), md5, sha1, sha256 or sha512
	// ReceiptWithin is the time for which the sender waits for a receipt before it resends a message of unknown delivery; default 1m.
	ReceiptWithin time.Duration `yaml:"receipt_within"`
}

// SignatureSecrets returns all secrets that may sign receipts.
func (v Vonage) SignatureSecrets() []string { return config.Lines(v.SignatureSecret) }

// Replies reports whether people can reply to a text: From is a number and not a name.
func (v Vonage) Replies() bool { return number.MatchString(v.From) }

// VonageSection is the key sms.vonage. Another vendor gets a key and a section of its own beside it.
var VonageSection = &config.Section[Vonage]{
	Key: "sms.vonage",
	Default: Vonage{
		BaseURL: "https://rest.nexmo.com",
		Timeout: 10 * time.Second,

		PerSecond:       30,
		SignatureMethod: "md5hash",
		ReceiptWithin:   time.Minute,
	},
	Check: func(c *config.Checker, v Vonage, all config.Config) {
		v.check(c)
		v.reachable(c, all)
	},
}

// Valid senders at Vonage (developer.vonage.com, "Custom Sender ID"). Vonage changes or drops any other sender. A number may be a
// short code.
var (
	number   = regexp.MustCompile(`^\+?[1-9][0-9]{2,14}$`)
	senderID = regexp.MustCompile(`^[0-9]{0,10}[A-Za-z][A-Za-z0-9]{0,10}$`)
)

func (v Vonage) check(c *config.Checker) {
	switch {
	case v.APIKey != "" && len(v.APIKey) != 8:
		c.Mistake("sms.vonage.api_key", "want the 8 characters of a Vonage key, not %d", len(v.APIKey))
	case v.APIKey == "" && v.APISecret != "":
		c.Mistake("sms.vonage.api_key", "api_secret is set: set the key too")
	}
	if v.APIKey != "" && v.APISecret == "" {
		c.Mistake("sms.vonage.api_secret", "api_key is set: set the secret too")
	}
	if v.APIKey != "" && v.From == "" {
		c.Mistake("sms.vonage.from", "api_key is set: set the sender id or number too")
	}
	if v.From != "" && !number.MatchString(v.From) && !senderID.MatchString(v.From) {
		c.Mistake("sms.vonage.from", "want a sender id of 1 to 11 letters and digits without blanks, or a number with its country code and without 00, of at most 15 digits, not %q", v.From)
	}
	c.Needed("sms.vonage.base_url", v.BaseURL)
	c.WebURL("sms.vonage.base_url", v.BaseURL)
	c.Positive("sms.vonage.timeout", int64(v.Timeout))
	c.Positive("sms.vonage.per_second", int64(v.PerSecond))
	c.WebURL("sms.vonage.receipts_url", v.ReceiptsURL)
	c.BaseURL("sms.vonage.receipts_url", v.ReceiptsURL, "/receipts")
	if v.ReceiptsURL != "" && v.SignatureSecret == "" {
		c.Mistake("sms.vonage.signature_secret", "receipts_url is set: set the secret that signs receipts too, or all receipts are refused")
	}
	if v.SignatureSecret != "" && v.SignatureSecrets() == nil {
		c.Mistake("sms.vonage.signature_secret", "its lines contain no secret")
	}
	c.OneOf("sms.vonage.signature_method", v.SignatureMethod, "md5hash", "md5", "sha1", "sha256", "sha512")
	c.Positive("sms.vonage.receipt_within", int64(v.ReceiptWithin))
}

// reachable refuses a loopback address in messages to other machines. An installation whose messages stay on this machine may use one.
func (v Vonage) reachable(c *config.Checker, all config.Config) {
	vonage, err := url.Parse(v.BaseURL)
	if err != nil || v.APIKey == "" || vonage.Scheme != "https" || config.Loopback(vonage.Hostname()) {
		return
	}
	public, _ := all.Lookup("shortener.public_url")
	for _, address := range []struct{ key, url, whose string }{
		{"shortener.public_url", public, "signers"},
		{"sms.vonage.receipts_url", v.ReceiptsURL, "Vonage"},
	} {
		if u, err := url.Parse(address.url); err == nil && config.Loopback(u.Hostname()) {
			c.Mistake(address.key, "%s cannot reach this machine's loopback address: want a public address, such as https://sign.acme.example", address.whose)
		}
	}
}

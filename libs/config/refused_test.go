package config_test

import (
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/services/sections"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

// checked returns the check's error for a settings file and variables.
func checked(t *testing.T, text string, environ ...string) []string {
	t.Helper()
	if _, err := loadChecked(t, text, environ...); err != nil {
		return strings.Split(err.Error(), "\n")
	}
	return nil
}

// loadChecked loads and checks a settings file.
func loadChecked(t *testing.T, text string, environ ...string) (config.Config, error) {
	t.Helper()
	cfg, _, err := config.Load(sections.All, []string{"--config", file(t, text)}, environ)
	if err == nil {
		err = config.Check(cfg, providers, nil)
	}
	return cfg, err
}

// in puts a value into a source of a settings file.
func in(source string) string {
	return "sources: [{name: acme, provider: clickwrap, " + source + "}]"
}

// A setting is refused if the program cannot start with it, or if it can never match. The line begins with the setting.
func TestUnusableSettingsAreRefused(t *testing.T) {
	t.Parallel()
	const vonage = "sms: {vonage: {api_key: a1b2c3d4, api_secret: s, from: Acme, "
	for text, want := range map[string]string{
		"master_key: short": "master_key: want 32 characters or more on each line, not 5 on line 1: openssl rand -base64 32 makes a key",
		"master_key: |\n  " + strings.Repeat("n", 32) + "\n  older\n": "not 5 on line 2",

		in("region: UK"):       `sources[0].region: want the two capital letters of a country, as in ISO 3166, not "UK": write GB`,
		in("region: uk"):       `not "uk": write GB`,
		in("region: us"):       `not "us": write US`,
		in("region: USA"):      `not "USA": write US`,
		in("region: XX"):       `not "XX"`,
		in("region: EU"):       `not "EU"`,
		in(`region: "001"`):    `not "001"`,
		in("region: Germany"):  `not "Germany"`,
		in(`region: "U S"`):    `not "U S"`,
		in("locale: english"):  `sources[0].locale: want a language's code as in BCP 47, such as en, de or en-AU, not "english"`,
		in("locale: en_US"):    `not "en_US"`,
		in("locale: en.UTF-8"): `not "en.UTF-8"`,
		in("locale: e"):        `not "e"`,

		in(`webhook: {secrets: ["a\0b"]}`):                                          "sources[0].webhook.secrets: it has a NUL character in it",
		in(`webhook: {secrets: ["ok", "a\nb"]}`):                                    "sources[0].webhook.secrets: it has a line break in it: want one line",
		in(`webhook: {secrets: ["a\u200Bb"]}`):                                      "sources[0].webhook.secrets: it has the character U+200B in it",
		in(`webhook: {secrets: ["a\uFEFFb"]}`):                                      "U+FEFF",
		in(`webhook: {secrets: ["a\x1bb"]}`):                                        "U+001B",
		in(`webhook: {secrets: ["a\tb"]}`):                                          "U+0009",
		in(`webhook: {secrets: [" \n "]}`):                                          "sources[0].webhook.secrets: an empty secret would accept every callback",
		in(`webhook: {token: "a\0"}`):                                               "sources[0].webhook.token: it has a NUL",
		in(`api: {token: "a\nb"}`):                                                  "sources[0].api.token: it has a line break",
		in(`sender_name: "Acme\nLegal"`):                                            "sources[0].sender_name: it has a line break",
		in(`sender_name: "Acme\u0007"`):                                             "sources[0].sender_name: it has the character U+0007",
		in("sender_name: " + strings.Repeat("a", 101)):                              "sources[0].sender_name: want at most 100 characters",
		in("notify: {sender: {mobile: 5551234}}"):                                   "sources[0].notify.sender.mobile: want one number with its country code",
		in(`notify: {sender: {mobile: "+1 317 555-0100 x4"}}`):                      "sources[0].notify.sender.mobile",
		in(`notify: {sender: {mobile: "+1-800-FLOWERS"}}`):                          "sources[0].notify.sender.mobile",
		"sources: [{name: a.b, provider: clickwrap}]":                               `sources[0].name: want 1 to 32 of a-z, 0-9 and -, not "a.b"`,
		"sources: [{name: a/b, provider: clickwrap}]":                               "sources[0].name",
		`sources: [{name: "a b", provider: clickwrap}]`:                             "sources[0].name",
		`sources: [{name: "*", provider: clickwrap}]`:                               "sources[0].name",
		`sources: [{name: ">", provider: clickwrap}]`:                               "sources[0].name",
		"sources: [{name: ä, provider: clickwrap}]":                                 "sources[0].name",
		"sources: [{name: a, provider: clickwrap}, {name: a, provider: clickwrap}]": `sources[1].name: clickwrap has another source "a"`,

		"sms: {vonage: {from: Acme Legal12}}":                 `sms.vonage.from: want a sender id of 1 to 11 letters and digits without blanks`,
		"sms: {vonage: {from: Acme Legal}}":                   "sms.vonage.from",
		"sms: {vonage: {from: AcmeLegal123}}":                 "sms.vonage.from", // 12
		"sms: {vonage: {from: Acme-Legal}}":                   "sms.vonage.from",
		"sms: {vonage: {from: Müller}}":                       "sms.vonage.from",
		`sms: {vonage: {from: "1234567890123456"}}`:           "sms.vonage.from", // 16 digits
		`sms: {vonage: {from: "0013175550100"}}`:              "sms.vonage.from",
		`sms: {vonage: {from: "+1 317 555 0100"}}`:            "sms.vonage.from",
		`sms: {vonage: {from: "12"}}`:                         "sms.vonage.from",
		vonage + `timeout: -1s}}`:                             "sms.vonage.timeout: must be more than 0",
		vonage + `timeout: 0s}}`:                              "sms.vonage.timeout: must be more than 0",
		vonage + `per_second: 0}}`:                            "sms.vonage.per_second: must be more than 0",
		vonage + `per_second: -3}}`:                           "sms.vonage.per_second: must be more than 0",
		vonage + `receipt_within: -1m}}`:                      "sms.vonage.receipt_within: must be more than 0",
		vonage + `base_url: "ftp://rest.nexmo.com"}}`:         "sms.vonage.base_url: want an absolute URL",
		vonage + `base_url: "rest.nexmo.com"}}`:               "sms.vonage.base_url: want an absolute URL",
		vonage + `base_url: "https://rest.nexmo.com:99999"}}`: "sms.vonage.base_url: want an absolute URL",
		vonage + `signature_secret: s, receipts_url: "https://sign.acme.example/receipts/vonage/acme"}}`: "sms.vonage.receipts_url: leave out /receipts",
		vonage + `signature_secret: s, receipts_url: "http://localhost:8084"}}`:                          "sms.vonage.receipts_url: Vonage cannot reach this machine's loopback address",
		vonage + "}}\nshortener: {public_url: 'http://localhost:8083'}":                                  "shortener.public_url: signers cannot reach this machine's loopback address",
		vonage + "}}\nshortener: {public_url: 'https://127.0.0.1'}":                                      "shortener.public_url: signers cannot reach this machine's loopback address",
		vonage + "}}\nshortener: {public_url: 'http://[::1]:80'}":                                        "shortener.public_url: signers cannot reach this machine's loopback address",
		vonage + "}}\nshortener: {public_url: 'http://0.0.0.0:80'}":                                      "shortener.public_url: signers cannot reach this machine's loopback address",
		"shortener: {public_url: 'https://sign.acme.example/l/'}":                                        "shortener.public_url: leave out /l",
		"shortener: {public_url: sign.acme.example}":                                                     "shortener.public_url: want an absolute URL",
		"shortener: {public_url: 'https://sign.acme.example?x=1'}":                                       "shortener.public_url: want a URL with no user, no query",
		"shortener: {expire_after: -1h}":                                                                 "shortener.expire_after: want more than 0",
		"shortener: {per_minute: 0}":                                                                     "shortener.per_minute: must be more than 0",

		"email: {from: Acme}":                              "email.from: want an address such as",
		"email: {from: 'Acme <no-reply@>'}":                "email.from: want an address such as",
		"email: {from: 'a@acme.example, b@acme.example'}":  "email.from: want an address such as",
		"email: {from: 'Acme Inc. no-reply@acme.example'}": "email.from: want an address such as",
		"email: {from: 'grüße@acme.example'}":              "email.from: want an address in ASCII",
		"email: {from: 'no-reply@müller.example'}":         "email.from: want an address in ASCII",
		"email: {smtp: {tls: none, username: u, password: p, host: smtp.acme.example}, from: a@acme.example}": "email.smtp.tls: username is set, and no password is sent without TLS",
		"email: {smtp: {port: 0}}":                          "email.smtp.port: want a port from 1 to 65535, not 0",
		"email: {smtp: {timeout: -5s}}":                     "email.smtp.timeout: must be more than 0",
		"email: {smtp: {connections: 0}}":                   "email.smtp.connections: must be more than 0",
		"email: {smtp: {host: 'smtp://smtp.acme.example'}}": "email.smtp.host: want a name or an IP address alone",
		"email: {smtp: {password: \"a\\0b\", username: u}}": "email.smtp.password: it has a NUL",

		"nats: {url: 'nats://n:4222/path'}":            "nats.url: want no path or query after the port",
		"nats: {url: 'nats://n:99999'}":                "nats.url: want nats://host:port",
		"nats: {url: 'n:4222'}":                        "nats.url: want nats://host:port",
		"nats: {url: 'nats://a,,nats://b'}":            "nats.url: want nats://host:port",
		"nats: {url: 'nats://a,ws://b'}":               "nats.url: want ws:// or wss:// for all servers",
		"nats: {replicas: 0}":                          "nats.replicas: want 1 for a single node",
		"redis: {url: 'redis://r:99999/0'}":            "redis.url: want redis://user:password@host:port/db",
		"redis: {url: 'http://r'}":                     "redis.url: want redis://user:password@host:port/db",
		"kafka: {brokers: [kafka]}":                    "kafka.brokers: want host:port",
		"kafka: {brokers: ['kafka:0']}":                "kafka.brokers: want host:port",
		"ingest: {max_in_flight: 0}":                   "ingest.max_in_flight: must be more than 0",
		"ingest: {addr: ':65536'}":                     "ingest.addr: want host:port",
		"email: {from: 'a@localhost'}":                 "email.from: want an address at a domain of the internet",
		"email: {from: 'Acme <a@[127.0.0.1]>'}":        "email.from: want an address at a domain of the internet",
		"email: {from: a@mailserver}":                  "email.from: want an address at a domain of the internet",
		in("notify: {sender: {email: a@db.internal}}"): ".notify.sender.email: want an address at a domain of the internet",
		"ingest: {addr: 8080}":                         "ingest.addr: want host:port",
		"sms: {vonage: {timeout: 10}}":                 "sms.vonage.timeout (line 1): want a duration",
		"nats: {tls: {ca: \"-----BEGIN CERTIFICATE-----\\nbm90IG9uZQ==\\n-----END CERTIFICATE-----\"}}": "nats.tls.ca: want PEM of certificates",
		"nats: {tls: {certificate: x}}": "nats.tls.key: want certificate and key together",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(checked(t, text), "\n"); !strings.Contains(got, want) {
				t.Errorf("got:\n%s\nwant %s", got, want)
			}
		})
	}
}

func TestUsableSettingsPass(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		in("region: GB"), in("region: DE"), in("region: AU"), in("region: US"), in("region: XK"),
		in("locale: en"), in("locale: de"), in("locale: en-AU"), in("locale: de-CH"), in("locale: zh-Hant-TW"), in("locale: es-419"), in("locale: pt-br"),
		in("sender_name: Zoë & Söhne (李小龍)"), in(`sender_name: "Acme \u200F"`), in(`notify: {sender: {mobile: "+1 (317) 555-0100"}}`),
		in(`webhook: {secrets: ["with blanks inside"]}`), in(`webhook: {token: "one\ntwo"}`),
		"sources: [{name: a-1, provider: clickwrap}, {name: a-1, provider: pleasesign}]",
		"sms: {vonage: {from: Acme}}", "sms: {vonage: {from: A}}", "sms: {vonage: {from: AcmeLegal12}}", "sms: {vonage: {from: 1stAcme}}",
		`sms: {vonage: {from: "+447700900000"}}`, `sms: {vonage: {from: "447700900000"}}`, `sms: {vonage: {from: "12345"}}`, `sms: {vonage: {from: "123456789012345"}}`,
		"sms: {vonage: {api_key: a1b2c3d4, api_secret: s, from: Acme, base_url: 'http://127.0.0.1:8082'}}\nshortener: {public_url: 'http://localhost:8080'}",
		"sms: {vonage: {api_key: a1b2c3d4, api_secret: s, from: Acme}}\nshortener: {public_url: 'https://sign.acme.example/path'}",
		"email: {from: 'Grüße <no-reply@xn--mller-kva.example>', smtp: {host: localhost, tls: none, username: u, password: p}}",
		"email: {from: a@acme.example, smtp: {tls: none, host: smtp.acme.example}}",
		"nats: {url: 'nats://a:4222, tls://b'}", "nats: {url: 'wss://a/nats'}", "redis: {url: 'redis://:p@r:6379/3'}", "redis: {url: 'unix:///run/redis.sock'}",
		"\ufefflog: {level: info}",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			if got := checked(t, text); got != nil {
				t.Errorf("refused: %s", strings.Join(got, "\n"))
			}
		})
	}
}

// A secret has the same value in the settings file, a variable or its own file, with any white space that an editor adds.
func TestASecretHasOneValueFromEachPlace(t *testing.T) {
	t.Parallel()
	for name, around := range map[string][2]string{
		"bare": {"", ""}, "a newline": {"", "\n"}, "a Windows line ending": {"", "\r\n"}, "two": {"", "\n\n"}, "a blank": {"", " "}, "a tab before": {"\t", ""},
		"a byte order mark": {"\ufeff", ""}, "all of these": {"\ufeff \n", "\u200b\t\r\n"}, "a no-break space": {"", "\u00a0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			written := around[0] + "s3cret with blanks" + around[1]
			quoted := strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`, "\ufeff", `\uFEFF`, "\u200b", `\u200B`, "\u00a0", `\u00A0`).Replace(written)
			const source = "sources: [{name: acme, provider: clickwrap}]"
			for from, cfg := range map[string]config.Config{
				"YAML": load(t, []string{"--config", file(t, "sms: {vonage: {api_secret: \""+quoted+"\"}}\nsources: [{name: acme, provider: clickwrap, webhook: {secrets: [\""+quoted+"\"]}}]")}, nil),
				"variables": load(t, []string{"--config", file(t, source)}, []string{
					"SIGNRELAY_SMS_VONAGE_API_SECRET=" + written, "SIGNRELAY_SOURCE_CLICKWRAP_ACME_WEBHOOK_SECRETS=" + written,
				}),
				"files": load(t, []string{"--config", file(t, source)}, []string{
					"SIGNRELAY_SMS_VONAGE_API_SECRET_FILE=" + file(t, written), "SIGNRELAY_SOURCE_CLICKWRAP_ACME_WEBHOOK_SECRETS_FILE=" + file(t, written),
				}),
			} {
				if got := smssettings.VonageSection.Of(cfg).APISecret; got != "s3cret with blanks" {
					t.Errorf("%s: %q", from, got)
				}
				wantLines(t, []string{cfg.Sources[0].Text("webhook.secrets")}, "s3cret with blanks")
			}
		})
	}
}

// A bad value that replaces a good one is refused as at a start, and the good one stays.
func TestABadSecretDoesNotReplaceAGoodOne(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]string{
		"UTF-16": "\xff\xfeo\x00n\x00e\x00", "a NUL": "tw\x00o", "a binary": "\xff\xfe\xfd", "a control character": "t\x1bwo", "an invisible one": "t\u200bwo",
		"two lines": "two\nthree", "nothing but white space": "\ufeff \n\t\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := file(t, "one")
			live := config.NewLive(load(t, nil, []string{"SIGNRELAY_NATS_USER=ingest", "SIGNRELAY_NATS_PASSWORD_FILE=" + path}))
			write(t, path, bad)
			if replaced, err := reread(t, live, true); err == nil || len(replaced) > 0 || now(live).NATS.Password != "one" {
				t.Errorf("replaced %v, now %q: %v", replaced, now(live).NATS.Password, err)
			}
		})
	}
}

package vonage

import (
	"encoding/hex"
	"maps"
	"strings"
	"testing"
)

// The vectors of Vonage's own SDK for Node and, for methods without a vector there, openssl's result for the same text.
func TestSignatures(t *testing.T) {
	t.Parallel()
	const secret = "my_secret_key_for_testing"
	message := map[string]string{
		"message-timestamp": "2013-11-21 15:27:30", "messageId": "020000001B0FE827", "msisdn": "14843472194", "text": "Test again",
		"timestamp": "1385047698", "to": "13239877404", "type": "text",
	}
	for method, want := range map[string]string{
		"md5hash": "d2e7b1dc968737c5998ad624e02f90b7",
		"sha256":  "DDB8397C2B90AAC7F3882D306475C9A5058C92322EEF43C92B298B6E0FC0D330",
		"md5":     "ddebd46008c2d4e93cce578a332a52d5",
		"sha1":    "27d0d05c2876c7cb1720dbcdba4d492e1e55c09a",
		"sha512":  "e0d3c650f8c9d1a5c174d10dddbfb003e561f59b265616208b0487c5d819481cd3c311d59cf6165ecd1139622d5ba3a256c0d763ac4a9ad9144b5a426b94fe82",
	} {
		signed := maps.Clone(message)
		for _, signed["sig"] = range []string{want, strings.ToUpper(want), strings.ToLower(want)} {
			if !signedBy(signed, secret, method) {
				t.Errorf("%s: %s is refused; ours is %x", method, signed["sig"], sign(message, secret, method))
			}
		}
		for name, change := range map[string]func(p map[string]string) (secret string){
			"another secret":           func(map[string]string) string { return secret + "." },
			"no secret":                func(p map[string]string) string { p["sig"] = hex.EncodeToString(sign(p, "", method)); return "" },
			"another value":            func(p map[string]string) string { p["text"] = "Test again."; return secret },
			"one value more":           func(p map[string]string) string { p["status"] = "delivered"; return secret },
			"one value less":           func(p map[string]string) string { delete(p, "type"); return secret },
			"no signature":             func(p map[string]string) string { delete(p, "sig"); return secret },
			"an empty one":             func(p map[string]string) string { p["sig"] = ""; return secret },
			"half of it":               func(p map[string]string) string { p["sig"] = want[:len(want)/2]; return secret },
			"no hex":                   func(p map[string]string) string { p["sig"] = "z" + want[1:]; return secret },
			"more characters after it": func(p map[string]string) string { p["sig"] += "00"; return secret },
			"one without a key":        func(p map[string]string) string { p["sig"] = hex.EncodeToString(sign(p, "", method)); return secret },
		} {
			forged := maps.Clone(message)
			forged["sig"] = want
			if with := change(forged); signedBy(forged, with, method) {
				t.Errorf("%s: %s is accepted", method, name)
			}
		}
	}
}

// Separators inside a value are replaced before signing, so two requests that differ only in these separators have the same signature.
func TestSeparatorsInValuesAreSignedAsUnderscores(t *testing.T) {
	t.Parallel()
	p := map[string]string{"b": "x&y=z", "a": "1"}
	if got, want := hex.EncodeToString(sign(p, "s", "sha256")), hex.EncodeToString(sign(map[string]string{"a": "1", "b": "x_y_z"}, "s", "sha256")); got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

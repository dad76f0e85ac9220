package vonage

import (
	"net/url"
	"strings"
	"testing"
)

// The vectors are from Vonage's own SDK for Node.
func TestReceiptsAreSignedAsByVonage(t *testing.T) {
	t.Parallel()
	form := url.Values{
		"message-timestamp": {"2013-11-21 15:27:30"}, "messageId": {"020000001B0FE827"}, "msisdn": {"14843472194"},
		"text": {"Test again"}, "timestamp": {"1385047698"}, "to": {"13239877404"}, "type": {"text"}, "sig": {"not part of it"},
	}
	for method, want := range map[string]string{
		"md5hash": "d2e7b1dc968737c5998ad624e02f90b7",
		"":        "d2e7b1dc968737c5998ad624e02f90b7",
		"sha256":  "DDB8397C2B90AAC7F3882D306475C9A5058C92322EEF43C92B298B6E0FC0D330",
	} {
		if got := signReceipt(form, "my_secret_key_for_testing", method); !strings.EqualFold(got, want) {
			t.Errorf("%q: %s, want %s", method, got, want)
		}
	}
	for method, length := range map[string]int{"md5": 32, "sha1": 40, "sha512": 128} {
		if got := signReceipt(form, "my_secret_key_for_testing", method); len(got) != length {
			t.Errorf("%s: %s has %d digits", method, got, len(got))
		}
	}
}

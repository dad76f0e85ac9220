package smssender

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // what Vonage signs with unless its dashboard says otherwise
	"crypto/sha1" //nolint:gosec // one of the methods of Vonage's dashboard
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"maps"
	"slices"
	"strings"
)

// hmacs is the keyed methods of Vonage's dashboard; beside them there is md5hash, which hashes the secret behind the text.
var hmacs = map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}

// signedBy tells whether the parameters bear the signature of who knows the secret. Without a secret nobody is believed.
func signedBy(p map[string]string, secret, method string) bool {
	given, err := hex.DecodeString(p["sig"]) // of either case
	if err != nil || len(given) == 0 || secret == "" {
		return false
	}
	return hmac.Equal(given, sign(p, secret, method))
}

// signedByAny tells it of several secrets, of which one is being rotated out.
func signedByAny(p map[string]string, secrets []string, method string) bool {
	return slices.ContainsFunc(secrets, func(secret string) bool { return signedBy(p, secret, method) })
}

// sign makes the signature of parameters: over all but "sig", in the order of their names, with what separates them made
// harmless inside values.
func sign(p map[string]string, secret, method string) []byte {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if name != "sig" {
			text.WriteString("&" + name + "=" + separators.Replace(p[name]))
		}
	}
	keyed, ok := hmacs[method]
	if !ok { // md5hash: the settings are checked
		sum := md5.Sum([]byte(text.String() + secret)) //nolint:gosec // see above
		return sum[:]
	}
	mac := hmac.New(keyed, []byte(secret))
	mac.Write([]byte(text.String()))
	return mac.Sum(nil)
}

var separators = strings.NewReplacer("&", "_", "=", "_")

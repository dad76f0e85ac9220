package vonage

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // Vonage's default method
	"crypto/sha1" //nolint:gosec // one of the methods in Vonage's dashboard
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"maps"
	"slices"
	"strings"
)

// hmacs are the keyed methods in Vonage's dashboard. One more method is md5hash, which appends the secret to the text and hashes both.
var hmacs = map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}

// signedBy reports whether the parameters are signed with the secret. An empty secret signs nothing.
func signedBy(p map[string]string, secret, method string) bool {
	given, err := hex.DecodeString(p["sig"]) // in upper or lower case
	if err != nil || len(given) == 0 || secret == "" {
		return false
	}
	return hmac.Equal(given, sign(p, secret, method))
}

// signedByAny works like signedBy, for several secrets: during a rotation there are two.
func signedByAny(p map[string]string, secrets []string, method string) bool {
	return slices.ContainsFunc(secrets, func(secret string) bool { return signedBy(p, secret, method) })
}

// sign makes the signature of all parameters except for "sig", in the order of their names. Separators inside values are replaced.
func sign(p map[string]string, secret, method string) []byte {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if name != "sig" {
			text.WriteString("&" + name + "=" + separators.Replace(p[name]))
		}
	}
	keyed, ok := hmacs[method]
	if !ok { // md5hash, because the check of the settings accepts no other method
		sum := md5.Sum([]byte(text.String() + secret)) //nolint:gosec // as above
		return sum[:]
	}
	mac := hmac.New(keyed, []byte(secret))
	mac.Write([]byte(text.String()))
	return mac.Sum(nil)
}

var separators = strings.NewReplacer("&", "_", "=", "_")

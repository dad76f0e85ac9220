package telemetry

import "strings"

// masked replaces a secret or personal value.
const masked = "********"

// Keys that name personal data or a secret.
var personalKeys = map[string]bool{
	"to": true, "from": true, "name": true, "recipient": true, "signer": true, "sender": true,
	"api_key": true, "apikey": true, "access_key": true, "private_key": true, "body": true, "html": true, "cookie": true,
}

// Words that mark a key as personal or secret, at any position in it: first_name, redisURL, x-webhook-token. They are compared only with the
// key's lower-case letters. They are grouped by their first letter, because every attribute of every line is checked.
var personalWords = [256][]string{
	'a': {"authorization"},
	'c': {"credential"},
	'e': {"email"},
	'f': {"firstname", "fullname"},
	'l': {"lastname"},
	'm': {"mobile"},
	'p': {"password", "passwd", "phone"},
	'r': {"recipientname"},
	's': {"secret", "signature", "sendername", "signername"},
	't': {"token"},
	'u': {"url"},
}

// isPersonal reports whether a key names personal data or a secret.
func isPersonal(key string) bool {
	var buf [128]byte
	letters := buf[:0]
	lower := buf[64:64]
	for i := range min(len(key), 64) {
		c := key[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower = append(lower, c)
		if c != '_' && c != '-' && c != '.' {
			letters = append(letters, c)
		}
	}
	if personalKeys[string(lower)] {
		return true
	}
	for i, c := range letters {
		for _, word := range personalWords[c] {
			if rest := letters[i:]; len(rest) >= len(word) && string(rest[:len(word)]) == word {
				return true
			}
		}
	}
	return false
}

// Mask replaces e-mail addresses, phone numbers (a plus and at least nine digits) and everything in a URL except its scheme and host. Most
// texts contain none of them. For such a text, Mask checks each byte once and allocates no memory.
func Mask(s string) string {
	if !strings.ContainsAny(s, "@+%") && !strings.Contains(s, "://") {
		return s
	}
	return maskAddresses(maskURLs(maskPhones(s)))
}

// maskURLs keeps only a URL's scheme and host. A signing link is a secret, and a query may be one.
func maskURLs(s string) string {
	var b strings.Builder
	rest := s
	for {
		i := strings.Index(rest, "://")
		if i < 0 {
			break
		}
		start := i + len("://")
		end := start + endOfWord(rest[start:])
		host := rest[start:end]
		// A password may contain a slash, so the last @ ends the user information, even after a slash.
		user := strings.LastIndexByte(host, '@') + 1
		path := user + strings.IndexAny(host[user:]+"/", "/?#")

		b.WriteString(rest[:start])
		b.WriteString(host[user:path])
		switch tail := host[path:]; tail {
		case "", "/":
			b.WriteString(tail)
		default:
			b.WriteString("/" + masked)
		}
		rest = rest[end:]
	}
	if b.Len() == 0 {
		return s
	}
	return b.String() + rest
}

// maskAddresses masks every word around an @. A module version in a stack trace (/nats.go@v1.55.0) stays.
func maskAddresses(s string) string {
	var b strings.Builder
	rest := s
	for {
		at := strings.IndexByte(rest, '@')
		if at < 0 {
			break
		}
		start := startOfWord(rest[:at])
		end := at + 1 + endOfWord(rest[at+1:])
		domain := rest[at+1 : end]
		b.WriteString(rest[:start])
		switch {
		case start == at || domain == "": // a single @
			b.WriteString(rest[start:end])
		case isVersion(domain) && strings.Contains(rest[start:at], "/") && !strings.Contains(rest[start:at], ":"):
			b.WriteString(rest[start:end])
		default:
			b.WriteString(masked)
		}
		rest = rest[end:]
	}
	if b.Len() == 0 {
		return s
	}
	return b.String() + rest
}

// isVersion reports whether s begins like v1.2.
func isVersion(s string) bool {
	return len(s) >= 4 && s[0] == 'v' && isDigit(s[1]) && strings.IndexByte(s, '.') > 0 && !strings.Contains(s, "@")
}

// maskPhones masks a plus (in a query: %2B) and the nine or more digits after it. Spaces, dots, dashes and brackets may separate the digits.
func maskPhones(s string) string {
	var b strings.Builder
	written := 0
	for i := 0; i < len(s); i++ {
		start := i
		switch {
		case s[i] == '+':
		case s[i] == '%' && i+2 < len(s) && s[i+1] == '2' && s[i+2]|0x20 == 'b':
			i += 2
		default:
			continue
		}
		digits, end := 0, i+1
		for j := i + 1; j < len(s); j++ {
			if isDigit(s[j]) {
				digits, end = digits+1, j+1
			} else if strings.IndexByte(" .-()", s[j]) < 0 || j > end+1 { // at most two in a row: "+1 (317) 403"
				break
			}
		}
		if digits >= 9 {
			b.WriteString(s[written:start])
			b.WriteString(masked)
			written = end
			i = end - 1
		}
	}
	if written == 0 {
		return s
	}
	return b.String() + s[written:]
}

// Characters that end a word in a log text: space, quotes, brackets, and separators of lists.
const wordEnds = " \t\r\n\"'`<>()[]{},;|"

func endOfWord(s string) int {
	if i := strings.IndexAny(s, wordEnds); i >= 0 {
		return i
	}
	return len(s)
}

func startOfWord(s string) int { return strings.LastIndexAny(s, wordEnds) + 1 }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

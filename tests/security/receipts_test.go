package security

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// receipt is a delivery receipt in Vonage's format, unsigned.
func receipt(reference string) map[string]string {
	return map[string]string{
		"msisdn": "13175550166", "to": "Acme", "messageId": "m-" + reference, "status": "delivered", "err-code": "0", "client-ref": reference,
		"message-timestamp": "2026-01-02 03:04:05", "timestamp": "1767323045", "nonce": "n",
	}
}

// signedText returns the text that Vonage signs: the sorted fields, with separators in them replaced.
func signedText(fields map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if name != "sig" {
			fmt.Fprintf(&b, "&%s=%s", name, strings.NewReplacer("&", "_", "=", "_").Replace(fields[name]))
		}
	}
	return b.String()
}

func signedReceipt(fields map[string]string) map[string]string {
	fields = maps.Clone(fields)
	fields["sig"] = hmacOf(receiptSecret, signedText(fields))
	return fields
}

func form(fields map[string]string) string {
	values := url.Values{}
	for name, value := range fields {
		values.Set(name, value)
	}
	return values.Encode()
}

// Only Vonage's receipts are accepted: a stranger's receipt changes nothing, and a repeated authentic receipt changes nothing more.
func forgedReceipts(t *testing.T, s *stand) {
	const source = "receipts"
	s.world.respondJSON("/v1.1/requests/receipts-1", clickwrapRequest("Receipts", signer{ID: "p", Mobile: "+13175550166"}))
	s.accepts(t, "the document", clickwrap(source, clickwrapSent("receipts-1")))
	s.settled(t, "receipts-1", 1)
	reference := s.world.textsWith("Receipts")[0]["client-ref"]
	honest := receipt(reference)
	changed := func(change func(map[string]string)) map[string]string {
		fields := signedReceipt(honest)
		change(fields)
		return fields
	}
	md5hash := md5.Sum([]byte(signedText(honest) + receiptSecret))
	base := "http://" + s.Address("SIGNRELAY_RECEIPTS_ADDR") + "/receipts/vonage/"
	post := func(path, contentType, body string) response {
		t.Helper()
		a, err := call(http.MethodPost, base+path, http.Header{"Content-Type": {contentType}}, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		s.responses.keep(fmt.Sprint(a.header, a.text))
		return a
	}
	const asForm = "application/x-www-form-urlencoded"
	refusals := map[string]bool{}
	for name, fields := range map[string]map[string]string{
		"unsigned":                       honest,
		"an empty signature":             changed(func(f map[string]string) { f["sig"] = "" }),
		"another's signature":            changed(func(f map[string]string) { f["sig"] = hmacOf("another", signedText(f)) }),
		"the empty secret's":             changed(func(f map[string]string) { f["sig"] = hmacOf("", signedText(f)) }),
		"half a signature":               changed(func(f map[string]string) { f["sig"] = f["sig"][:32] }),
		"a weaker method's":              changed(func(f map[string]string) { f["sig"] = hex.EncodeToString(md5hash[:]) }),
		"the secret itself":              changed(func(f map[string]string) { f["sig"] = hex.EncodeToString([]byte(receiptSecret)) }),
		"another end":                    changed(func(f map[string]string) { f["status"] = "failed" }),
		"another text":                   changed(func(f map[string]string) { f["client-ref"] = "another" }),
		"a field more":                   changed(func(f map[string]string) { f["price"] = "0" }),
		"a field less":                   changed(func(f map[string]string) { delete(f, "nonce") }),
		"a value moved to another field": changed(func(f map[string]string) { f["nonce"] = "n&status=failed" }),
		"its own key in a name":          changed(func(f map[string]string) { f["Status"] = "failed" }),
	} {
		a := post(source, asForm, form(fields))
		if a.status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
		refusals[a.text] = true
		// The same in the query, or in JSON.
		if a, err := call(http.MethodGet, base+source+"?"+form(fields), nil, nil); err != nil || a.status != http.StatusUnauthorized {
			t.Errorf("%s, by GET: %d %v", name, a.status, err)
		}
	}
	if len(refusals) != 1 {
		t.Errorf("refusals can be distinguished: %v", refusals)
	}
	for name, a := range map[string]response{
		"a signature in the query of a form":  post(source+"?sig="+signedReceipt(honest)["sig"], asForm, form(honest)),
		"a signature that comes twice":        post(source, asForm, form(signedReceipt(honest))+"&sig=0"),
		"a status that comes twice":           post(source, asForm, form(signedReceipt(honest))+"&status=failed"),
		"a name with a separator":             post(source, asForm, form(changed(func(f map[string]string) { f["x&status"] = "failed" }))),
		"no form":                             post(source, "text/xml", form(signedReceipt(honest))),
		"JSON of another shape":               post(source, "application/json", `{"sig":{"$ne":""},"status":["delivered"]}`),
		"JSON that is a list":                 post(source, "application/json", `[{"status":"delivered"}]`),
		"an unknown source":                   post("unknown", asForm, form(signedReceipt(honest))),
		"a path to another handler":           post("..%2fvonage%2freceipts", asForm, form(signedReceipt(honest))),
		"a body larger than any receipt":      post(source, asForm, form(signedReceipt(honest))+"&x="+strings.Repeat("x", mebibyte)),
		"ten thousand parameters, not signed": post(source, asForm, strings.Repeat("x&", 10_000)),
	} {
		if a.status < 400 || a.status >= 500 {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	delivered := "signing.v1." + source + ".clickwrap.notification.*.receipts-1"
	if n := s.stored(t, delivered); n != 2 { // requested and sent
		t.Errorf("the log has %d events of the text, want 2", n)
	}

	for i, want := range []string{"recorded", "repeated", "repeated"} {
		if a := post(source, asForm, form(signedReceipt(honest))); a.status != http.StatusOK || a.fields["status"] != want {
			t.Errorf("the honest receipt, time %d: %d %s", i+1, a.status, a.text)
		}
	}
	if n := s.stored(t, strings.Replace(delivered, "*", "delivered", 1)); n != 1 {
		t.Errorf("the log has %d events of the text's delivery", n)
	}
	// An authentic receipt about an unknown text is accepted and changes nothing. Its reference is not a valid key of a bucket.
	for _, reference := range []string{"unknown", "*", ">", "../x", "a b", "", strings.Repeat("x", 9000)} {
		fields := receipt(reference)
		fields["messageId"] = "m"
		if a := post(source, asForm, form(signedReceipt(fields))); a.status != http.StatusOK || a.fields["status"] != "unknown" {
			t.Errorf("a receipt of %.20q: %d %s", reference, a.status, a.text)
		}
	}
}

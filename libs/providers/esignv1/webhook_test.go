package esignv1_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/providers/esignv1"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

const (
	refused = signingv1.Verification_VERIFICATION_UNSPECIFIED
	none    = signingv1.Verification_VERIFICATION_NONE
	token   = signingv1.Verification_VERIFICATION_TOKEN
	rsaSig  = signingv1.Verification_VERIFICATION_RSA
)

func TestCredentialsOnEachRoute(t *testing.T) {
	t.Parallel()
	key, certificate := newKey(t)
	another, _ := newKey(t)
	sign := func(key *rsa.PrivateKey, data string) string {
		s, err := esignv1.Sign(key, []byte(data), crypto.SHA1)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	const data = `[{"resource_uri":"/api/v1/document/D/","name":"status","value":"30","timestamp":"2018-03-20T07:09:52"}]`
	const doc = `{"resource_uri":"/api/v1/document/D/"}`
	good, bad := sign(key, data), sign(another, data)
	goodDoc, badDoc := sign(key, doc), sign(another, doc)

	certOnly := esignv1.Webhook{Certificate: certificate}
	tokenOnly := esignv1.Webhook{Token: "demo"}
	both := esignv1.Webhook{Certificate: certificate, Token: "demo"}
	open := esignv1.Webhook{AllowUnverified: true}
	openCert := esignv1.Webhook{Certificate: certificate, AllowUnverified: true}
	form := func(kv ...string) url.Values {
		v := url.Values{}
		for i := 0; i < len(kv); i += 2 {
			v.Add(kv[i], kv[i+1])
		}
		return v
	}

	for _, tt := range []struct {
		name     string
		settings esignv1.Webhook
		route    string
		token    string
		form     url.Values
		signed   []string // X-Signed
		want     signingv1.Verification
	}{
		{"all, certificate: signed", certOnly, "/all", "", form("data", data, "signed", good), nil, rsaSig},
		{"all, certificate: base64 in lines", certOnly, "/all", "", form("data", data, "signed", good[:76]+"\n"+good[76:]+"\n"), nil, rsaSig},
		{"all, certificate: pluses that became spaces", certOnly, "/all", "", form("data", data, "signed", strings.ReplaceAll(good, "+", " ")), nil, rsaSig},
		{"all, certificate: another's", certOnly, "/all", "", form("data", data, "signed", bad), nil, refused},
		{"all, certificate: unsigned", certOnly, "/all", "", form("data", data), nil, refused},
		{"all, certificate: an empty signature", certOnly, "/all", "", form("data", data, "signed", ""), nil, refused},
		{"all, certificate: two data", certOnly, "/all", "", form("data", data, "data", "[]", "signed", good), nil, refused},
		{"all, certificate: two signatures", certOnly, "/all", "", form("data", data, "signed", good, "signed", bad), nil, refused},
		{"all, both: signed, with the token", both, "/all", "demo", form("data", data, "signed", good), nil, rsaSig},
		{"all, both: signed, no token", both, "/all", "", form("data", data, "signed", good), nil, refused},
		{"all, both: the token, unsigned", both, "/all", "demo", form("data", data), nil, refused},
		{"all, token: it", tokenOnly, "/all", "demo", form("data", data), nil, token},
		{"all, token: any signature", tokenOnly, "/all", "demo", form("data", data, "signed", bad), nil, token},
		{"all, token: another", tokenOnly, "/all", "demon", form("data", data), nil, refused},
		{"all, token: in the body", tokenOnly, "/all", "", form("data", data, "token", "demo"), nil, refused},
		{"all, open", open, "/all", "", form("data", data), nil, none},
		{"all, open but for a certificate: unsigned", openCert, "/all", "", form("data", data), nil, refused},

		{"signed, certificate: signed", certOnly, "/signed", "", form("json_signed", doc), []string{goodDoc}, rsaSig},
		{"signed, certificate: another's", certOnly, "/signed", "", form("json_signed", doc), []string{badDoc}, refused},
		{"signed, certificate: two signatures", certOnly, "/signed", "", form("json_signed", doc), []string{goodDoc, goodDoc}, refused},
		{"signed, certificate: two texts", certOnly, "/signed", "", form("json_signed", doc, "json_signed", doc), []string{goodDoc}, refused},
		{"signed, certificate: unsigned", certOnly, "/signed", "", form("uuid", "D"), nil, refused},
		{"signed, both: unsigned, with the token", both, "/signed", "demo", form("uuid", "D"), nil, token},
		{"signed, both: another's, with the token", both, "/signed", "demo", form("json_signed", doc), []string{badDoc}, refused},
		{"signed, both: signed, no token", both, "/signed", "", form("json_signed", doc), []string{goodDoc}, refused},
		{"signed, token: it", tokenOnly, "/signed", "demo", form("uuid", "D"), nil, token},
		{"signed, token: none", tokenOnly, "/signed", "", form("uuid", "D"), nil, refused},
		{"signed, open", open, "/signed", "", form("uuid", "D"), nil, none},
		{"signed, open, with a certificate: unsigned", openCert, "/signed", "", form("uuid", "D"), nil, none},
		{"signed, open, with a certificate: another's", openCert, "/signed", "", form("json_signed", doc), []string{badDoc}, refused},
	} {
		r := post(tt.route, tt.form.Encode())
		if tt.token != "" {
			r.Query.Set("token", tt.token)
		}
		if tt.signed != nil {
			r.Header["X-Signed"] = tt.signed
		}
		got, err := newWebhook(t, tt.settings).Verify(r)
		if got.By != tt.want || (err == nil) != (tt.want != refused) || err != nil && !errors.Is(err, pack.ErrUnauthentic) {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}

	twice := post("/all", form("data", data).Encode())
	twice.Query["token"] = []string{"demo", "demo"}
	if _, err := newWebhook(t, tokenOnly).Verify(twice); !errors.Is(err, pack.ErrUnauthentic) {
		t.Error("two tokens:", err)
	}
}

func TestBothDigests(t *testing.T) {
	t.Parallel()
	key, certificate := newKey(t)
	for name, digest := range map[string]crypto.Hash{"": crypto.SHA1, "sha1": crypto.SHA1, "sha256": crypto.SHA256} {
		w := newWebhook(t, esignv1.Webhook{Certificate: certificate, Digest: name})
		for _, with := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
			r := post("/all", "data=%5B%5D&signed="+esignv1.Unsigned)
			r, err := esignv1.SignSample(key, r, with)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Verify(r); (err == nil) != (with == digest) {
				t.Errorf("set to %q, signed with %v: %v", name, with, err)
			}
		}
	}
}

func TestErrorsOfWrongSettingsNameTheKey(t *testing.T) {
	t.Parallel()
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		key      string
		settings esignv1.Webhook
	}{
		{"webhook.token", esignv1.Webhook{}},
		{"webhook.certificate", esignv1.Webhook{}},
		{"webhook.allow_unverified", esignv1.Webhook{}},
		{"webhook.digest", esignv1.Webhook{Token: "t", Digest: "md5"}},
		{"webhook.certificate", esignv1.Webhook{Token: "t", Certificate: "no PEM"}},
		{"webhook.certificate", esignv1.Webhook{Token: "t", Certificate: block("CERTIFICATE", []byte("no DER"))}},
		{"webhook.certificate", esignv1.Webhook{Token: "t", Certificate: block("PRIVATE KEY", []byte("x"))}},
		{"webhook.certificate", esignv1.Webhook{Token: "t", Certificate: block("PUBLIC KEY", publicDER(t, &curve.PublicKey))}},
	} {
		if _, err := esignv1.Pack.Webhook(esignv1.Settings.Source("demo", esignv1.Source{Webhook: tt.settings})); err == nil || !strings.Contains(err.Error(), tt.key) {
			t.Errorf("want %s: %v", tt.key, err)
		}
	}
}

func TestKeysOfEveryForm(t *testing.T) {
	t.Parallel()
	key, certificate := newKey(t)
	r, err := esignv1.SignSample(key, post("/all", "data=%5B%5D&signed="+esignv1.Unsigned), crypto.SHA1)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a certificate":               certificate,
		"text before it":              "subject=CN = esign.example\n" + certificate,
		"a bare public key":           block("PUBLIC KEY", publicDER(t, &key.PublicKey)),
		"a PKCS #1 public key":        block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&key.PublicKey)),
		"a certificate as of 2013":    block("CERTIFICATE", oldCertificate(t, &key.PublicKey)),
		"after an unrelated block":    block("X509 CRL", []byte("x")) + certificate,
		"with spaces around the text": "\n\n  \n" + certificate + "\n",
	} {
		w, err := esignv1.Pack.Webhook(esignv1.Settings.Source("demo", esignv1.Source{Webhook: esignv1.Webhook{Certificate: text}}))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if v, err := w.Verify(r); err != nil || v.By != rsaSig {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
}

func TestBothRoutesReportOneFact(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, esignv1.Webhook{Token: "demo"})
	id := func(route string, form string) string {
		t.Helper()
		list := events(t, w, post(route, form), token)
		return list[len(list)-1].GetId()
	}
	all := id("/all", batch(item("/api/v1/document/D/", "status", "30", "2018-03-20T07:09:52")))
	for name, other := range map[string]string{
		"later":             id("/all", batch(item("/api/v1/document/D/", "status", "30", "2018-03-21T07:09:52"))),
		"as a whole URL":    id("/all", batch(item("https://eu-api.legalesign.com/api/v1/documents/D/", "status", "30", ""))),
		"signed":            id("/signed", "resource_uri=%2Fapi%2Fv1%2Fdocument%2FD%2F&uuid=D"),
		"signed, uuid only": id("/signed", "uuid=D&name=N"),
		"signed, path only": id("/signed", "resource_uri=/api/v1/documents/D"),
	} {
		if other != all {
			t.Errorf("%s: another id", name)
		}
	}
	if id("/signed", "uuid=E") == all {
		t.Error("another document has the same id")
	}
}

func TestABatchKeepsItsOrderAndDropsRepetitions(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, esignv1.Webhook{Token: "demo"})
	list := events(t, w, post("/all", batch(
		item("/api/v1/signer/S/", "status", "20", "2018-03-20T07:00:00"),
		item("/api/v1/signer/S/", "status", "20", "2018-03-20T07:00:00"), // the same item again
		item("/api/v1/signer/S/", "status", "20", "2018-03-20T07:05:00"), // opened once more
		item("/api/v1/signer/S/", "status", "40", "2018-03-20T07:09:00"),
		item("/api/v1/signers/S/", "status", "40", "2018-03-20 07:09:00 UTC"), // the same fact in another form
		item("/api/v1/signer/S/", "status", "40", "2018-03-21T07:09:00"),      // reset meanwhile, and signed again
		item("/api/v1/signer/T/", "status", "40", "2018-03-20T07:09:01"),
	)), token)
	var got []string
	for _, e := range list {
		got = append(got, e.GetType()+" "+e.GetRecipient().GetId()+" "+e.GetAttributes()["timestamp"])
	}
	if diff := cmp.Diff([]string{
		"recipient.opened S 2018-03-20T07:00:00",
		"recipient.opened S 2018-03-20T07:05:00",
		"recipient.signed S 2018-03-20T07:09:00",
		"document.updated S 2018-03-20 07:09:00 UTC",
		"recipient.signed S 2018-03-21T07:09:00",
		"recipient.signed T 2018-03-20T07:09:01",
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheSignedRouteTrustsOnlySignedFields(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, esignv1.Webhook{Token: "demo"})
	r := post("/signed", url.Values{
		"json_signed":  {`{"resource_uri":"/api/v1/document/D/","name":"N","uuid":"D"}`},
		"resource_uri": {"/api/v1/document/EVIL/"},
		"name":         {"N"},
		"status":       {"50"},
		"tags":         {"x", "y"},
	}.Encode())
	e := events(t, w, r, rsaSig)[0]
	if e.GetDocument().GetId() != "D" || e.GetType() != "document.completed" {
		t.Errorf("%v", e)
	}
	if diff := cmp.Diff(map[string]string{
		"unsigned.resource_uri": "/api/v1/document/EVIL/", "unsigned.status": "50", "unsigned.tags": "x", "unsigned.tags#2": "y",
	}, e.GetAttributes()); diff != "" {
		t.Error(diff)
	}
}

func TestTheSignedRouteCompletesOnlyWithoutAnotherTrigger(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, esignv1.Webhook{Token: "demo"})
	for form, want := range map[string]string{
		"uuid=D":                                "document.completed signed",
		"uuid=D&event=":                         "document.completed signed",
		"uuid=D&event=signed":                   "document.completed signed",
		"uuid=D&event=SIGNED":                   "document.completed signed",
		"uuid=D&status=30":                      "document.completed signed.status=30",
		"uuid=D&status=30&event=signed":         "document.completed signed.status=30",
		"uuid=D&status=40":                      "document.voided signed.status=40",
		"uuid=D&status=10":                      "document.created signed.status=10",
		"uuid=D&event=Rejected":                 "document.declined signed.event=Rejected",
		"uuid=D&event=sent&tag=x":               "other.recorded signed.event=sent",
		"uuid=D&event=created":                  "other.recorded signed.event=created",
		"uuid=D&event=E-7":                      "other.recorded signed.event=E-7",
		"uuid=D&event=unsigned":                 "other.recorded signed.event=unsigned",
		"uuid=D&event=none":                     "other.recorded signed.event=none",
		"uuid=D&event=null":                     "other.recorded signed.event=null",
		"uuid=D&Event+Code=viewed":              "other.recorded signed.Event Code=viewed",
		"uuid=D&trigger=archived":               "other.recorded signed.trigger=archived",
		"uuid=D&notify_when=4":                  "other.recorded signed.notify_when=4",
		"uuid=D&status=99":                      "other.recorded signed.status=99",
		"uuid=D&status=030":                     "other.recorded signed.status=030",
		"uuid=D&status=40&event=rejected":       "other.recorded signed.event=rejected.status=40", // the reasons disagree
		"uuid=D&event=signed&event=created":     "other.recorded signed.event#2=created",
		"uuid=D&event=eric@example.com":         "other.recorded signed.event",
		"resource_uri=/api/v1/signer/S/&uuid=D": "other.recorded signed",
		"resource_uri=/api/v1/group/g/&uuid=D":  "other.recorded signed",
		"uuid=D&tag=created&name=rejected":      "document.completed signed", // free text is not a reason
		"uuid=D&tag1=sent&tags=void&group=test": "document.completed signed",
		"uuid=D&document_status=40":             "document.voided signed.document_status=40",
		"uuid=D&event_name=rejected":            "document.declined signed.event_name=rejected",
		"uuid=D&state=voided":                   "other.recorded signed.state=voided",
		"uuid=D&result=cancelled":               "other.recorded signed.result=cancelled",
		"uuid=D&type=rejected":                  "other.recorded signed.type=rejected", // an unknown name has no strong meaning
		"uuid=D&reason=Declined":                "other.recorded signed.reason=Declined",
		"uuid=D&code=50":                        "other.recorded signed.code=50",
		"uuid=D&value=40":                       "other.recorded signed.value=40",
		"uuid=D&status=30&type=rejected":        "other.recorded signed.status=30.type=rejected",
		"uuid=D&type=document&value=30":         "document.completed signed",
		"uuid=D&pages=50&transaction=40":        "document.completed signed",
		"uuid=D&reason=I+agree&code=123":        "document.completed signed",
	} {
		e := events(t, w, post("/signed", form), token)[0]
		if got := e.GetType() + " " + e.GetProviderType(); got != want {
			t.Errorf("%s: %s", form, got)
		}
	}
	for text, want := range map[string]string{
		`{"uuid":"D"}`:                            "document.completed",
		`{"uuid":"D","event":null}`:               "document.completed",
		`{"uuid":"D","event":"signed"}`:           "document.completed",
		`{"uuid":"D","event":"created"}`:          "other.recorded",
		`{"uuid":"D","event":["signed"]}`:         "other.recorded",
		`{"uuid":"D","event":true}`:               "other.recorded",
		`{"uuid":"D","event":{"type":"created"}}`: "other.recorded",
		`{"uuid":"D","status":30}`:                "document.completed",
	} {
		e := events(t, w, post("/signed", url.Values{"json_signed": {text}}.Encode()), rsaSig)[0]
		if e.GetType() != want {
			t.Errorf("%s: %s, want %s", text, e.GetType(), want)
		}
	}
}

// A real completion after a callback for another reason must not be dropped as its repetition.
func TestAnotherTriggerDoesNotTakeTheCompletionsID(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, esignv1.Webhook{Token: "demo"})
	seen := map[string]string{}
	for _, form := range []string{"uuid=D", "uuid=D&event=created", "uuid=D&event=viewed", "uuid=D&status=99", "uuid=D&event=rejected", "resource_uri=/api/v1/signer/S/&uuid=D"} {
		e := events(t, w, post("/signed", form), token)[0]
		if other := seen[e.GetId()]; other != "" {
			t.Errorf("%s and %s have one id", form, other)
		}
		seen[e.GetId()] = form
	}
}

func TestAnUnknownStatusHasNoStrongMeaning(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, esignv1.Webhook{Token: "demo"})
	for _, i := range []map[string]any{
		item("/api/v1/document/D/", "status", "31", ""),
		item("/api/v1/document/D/", "status", "030", ""),
		item("/api/v1/document/D/", "status", "signed", ""),
		item("/api/v1/document/D/", "Status", "30", ""),
		item("/api/v1/document/D/", "substatus", "30", ""),
		item("/api/v1/document/None/", "status", "30", ""),
		item("/api/v1/documentgroup/D/", "status", "30", ""),
		item("/api/v1/signer/S/", "status", "41", ""),
		item("/api/v1/signer/S/", "state", "40", ""),
		item("/api/v1/signer/null/", "status", "40", ""),
	} {
		if e := events(t, w, post("/all", batch(i)), token)[0]; e.GetType() != "other.recorded" {
			t.Errorf("%v is %s", i, e.GetType())
		}
	}
}

// "None" is Python's placeholder for no value, and the provider uses Python: two signers called None are not one person.
func TestAPlaceholderIsNotAnID(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, esignv1.Webhook{Token: "demo"})
	list := events(t, w, post("/all", batch(
		item("/api/v1/signer/None/", "status", "40", "2018-03-20T07:00:00"), item("/api/v1/signer/None/", "status", "40", "2018-03-20T07:00:01"),
	)), token)
	if len(list) != 2 || list[0].GetRecipient() != nil || list[0].GetAttributes()["resource_uri"] != "/api/v1/signer/None/" {
		t.Errorf("%v", list)
	}
	if _, err := w.Normalize(post("/signed", "uuid=None&name=N"), token); err == nil {
		t.Error("a document called None was accepted")
	}
}

func TestTimesAreReadInEveryForm(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, esignv1.Webhook{Token: "demo"})
	for text, want := range map[any]string{
		"2018-03-20T07:09:52": "2018-03-20T07:09:52Z", "2018-3-20T7:9:52": "2018-03-20T07:09:52Z", "2018-03-20 07:09:52 UTC": "2018-03-20T07:09:52Z",
		"2018-03-20T08:09:52+01": "2018-03-20T07:09:52Z", "2018-03-20T08:09:52 0100": "2018-03-20T07:09:52Z", 1521529792: "2018-03-20T07:09:52Z", "1521529792000": "2018-03-20T07:09:52Z",
		"yesterday": "", "02/03/2018 07:09": "", "": "",
	} {
		i := item("/api/v1/document/D/", "status", "30", "")
		i["timestamp"] = text
		e := events(t, w, post("/all", batch(i)), token)[0]
		got, unread := "", ""
		if e.GetOccurredAt() != nil {
			got = e.GetOccurredAt().AsTime().Format(time.RFC3339Nano)
		} else if text != "" {
			unread = "timestamp"
		}
		if got != want || e.GetAttributes()[pack.TimeUnread] != unread {
			t.Errorf("%v is %q, want %q; unread %q", text, got, want, e.GetAttributes()[pack.TimeUnread])
		}
	}
}

func TestNoAddressInATypesName(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, esignv1.Webhook{Token: "demo"})
	for _, i := range []map[string]any{
		item("/api/v1/signer/S/", "email", "eric@example.com", ""),
		item("/api/v1/signer/S/", "status", "eric@example.com", ""),
	} {
		e := events(t, w, post("/all", batch(i)), token)[0]
		if strings.Contains(e.GetProviderType(), "eric") || e.GetAttributes()["value"] != "eric@example.com" {
			t.Errorf("%v", e)
		}
	}
}

func TestAnEmptyBatchReportsNothing(t *testing.T) {
	t.Parallel()
	events, err := newWebhook(t, esignv1.Webhook{Token: "demo"}).Normalize(post("/all", "data=[]"), token)
	if !errors.Is(err, pack.ErrNothing) || len(events) != 0 {
		t.Errorf("%v, %v; want ErrNothing", events, err)
	}
}

func TestUnreadableCallbacksAreQuarantined(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, esignv1.Webhook{Token: "demo"})
	ok := item("/api/v1/signer/S/", "status", "40", "2018-03-20T07:09:00")
	multipart := func(body string) pack.Request {
		r := post("/all", body)
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		return r
	}
	noBoundary := multipart("")
	noBoundary.Header.Set("Content-Type", "multipart/form-data")
	for _, tt := range []struct {
		r              pack.Request
		reason, detail string
	}{
		{post("/all", ""), "data-missing", ""},
		{post("/all", "data=%zz"), "not-a-form", ""},
		{post("/all", "data=1&data=2"), "form-ambiguous", "2 times"},
		{post("/all", "data=secret"), "not-json", ""},
		{post("/all", "data=%ff"), "not-text", ""},
		{post("/all", "data=%7B%7D"), "not-json", "array"},
		{post("/all", "data=%5B%7B%22resource_uri%22:%22x%22%7D,%22secret%22%5D"), "not-json", "item 1"},
		{post("/all", batch(ok, map[string]any{"name": "secret"})), "resource-missing", "item 1"},
		{post("/all", batch(ok, map[string]any{"resource_uri": nil})), "resource-missing", "item 1"},
		{post("/all", batch(ok, map[string]any{"resource_uri": []string{"secret"}})), "resource-missing", "item 1"},
		{post("/all", batch(ok)+"&x=%ff"), "not-text", ""},
		{post("/signed", ""), "document-missing", ""},
		{post("/signed", "name=secret"), "document-missing", ""},
		{post("/signed", "resource_uri=/api/v1/signer/S/"), "document-missing", ""},
		{post("/signed", "uuid=%ff"), "not-text", ""},
		{noBoundary, "not-a-form", "boundary"},
		{multipart("secret"), "not-a-form", "last boundary"},
		{multipart("--b\r\nContent-Disposition: form-data; name=data\r\n\r\n[]"), "not-a-form", "part 0"},
		{multipart("--b\r\nContent-Disposition: form-data; name=data\r\n\r\n[]\r\n--b\r\nsecret"), "not-a-form", "part 1"},
		{multipart("--b\r\nContent-Disposition: form-data; name=data\r\n\r\n[]\r\n--b\r\n"), "not-a-form", ""},
	} {
		got, err := w.Normalize(tt.r, token)
		var u *pack.UnreadableError
		if !errors.As(err, &u) || u.Reason != tt.reason || !strings.Contains(u.Detail, tt.detail) || strings.Contains(u.Detail, "secret") {
			t.Errorf("%s: %v, %v; want %s", tt.r.Body, got, err, tt.reason)
		}
	}
}

func newWebhook(t *testing.T, settings esignv1.Webhook) pack.Webhook {
	t.Helper()
	w, err := esignv1.Pack.Webhook(esignv1.Settings.Source("demo", esignv1.Source{Webhook: settings}))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func post(route, body string) pack.Request {
	return pack.Request{
		Method:     http.MethodPost,
		Route:      route,
		Header:     http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		Query:      url.Values{},
		Body:       []byte(body),
		ReceivedAt: time.Unix(1, 0),
	}
}

func item(uri, name, value, timestamp string) map[string]any {
	return map[string]any{"resource_uri": uri, "name": name, "value": value, "timestamp": timestamp}
}

func batch(items ...map[string]any) string {
	data, err := json.Marshal(items)
	if err != nil {
		panic(err)
	}
	return url.Values{"data": {string(data)}}.Encode()
}

func events(t *testing.T, w pack.Webhook, r pack.Request, v signingv1.Verification) []*signingv1.SigningEvent {
	t.Helper()
	list, err := w.Normalize(r, v)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func publicDER(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// oldCertificate resembles the provider's own: X.509 v1 (no version), serial 0, and an @ in a PrintableString, which
// crypto/x509 refuses.
func oldCertificate(t *testing.T, key *rsa.PublicKey) []byte {
	t.Helper()
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	name := []asn1.RawValue{{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true, Bytes: mustDER(t, attribute{
		Type:  asn1.ObjectIdentifier{2, 5, 4, 3},
		Value: asn1.RawValue{Tag: asn1.TagPrintableString, Bytes: []byte("esign.example/email@esign.example")},
	})}}
	algorithm := struct {
		Algorithm asn1.ObjectIdentifier
		Null      asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, asn1.NullRawValue}
	tbs := struct {
		Serial    int
		Algorithm any
		Issuer    any
		Validity  struct{ From, To time.Time }
		Subject   any
		PublicKey asn1.RawValue
	}{Algorithm: algorithm, Issuer: name, Subject: name, PublicKey: asn1.RawValue{FullBytes: publicDER(t, key)}}
	tbs.Validity.From = time.Date(2013, 2, 1, 0, 0, 0, 0, time.UTC)
	tbs.Validity.To = time.Date(2033, 2, 1, 0, 0, 0, 0, time.UTC)
	der := mustDER(t, struct {
		TBS       any
		Algorithm any
		Signature asn1.BitString
	}{tbs, algorithm, asn1.BitString{Bytes: make([]byte, 256), BitLength: 2048}})
	if _, err := x509.ParseCertificate(der); err == nil {
		t.Fatal("crypto/x509 accepts it, so the test proves nothing")
	}
	return der
}

func mustDER(t *testing.T, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

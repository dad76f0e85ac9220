package ingest_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/ingest"
)

// publicKey returns a new key of a provider, and its public half in PEM.
func publicKey(t *testing.T) (*rsa.PrivateKey, string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// sendSamples sends every recorded callback of every provider, signed with the sources' keys, and returns the events of the log that carry one.
func (h *harness) sendSamples(t *testing.T, key *rsa.PrivateKey) (carriers []*signingv1.SigningEvent) {
	t.Helper()
	for _, p := range providers.All {
		i := slices.IndexFunc(h.env.Config.Sources, func(s config.Source) bool { return s.Provider == p.Name })
		src := h.env.Config.Sources[i]
		files, err := fs.Glob(p.Samples, "*.http")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			sample, err := pack.ReadSample(p.Samples, strings.TrimSuffix(path.Base(file), ".http"))
			if err != nil {
				t.Fatal(err)
			}
			r, err := p.Sign(src, key, sample.Request)
			if err != nil {
				t.Fatal(err)
			}
			address := "/webhooks/" + p.Name + "/" + src.Name + r.Route
			if len(r.Query) > 0 {
				address += "?" + r.Query.Encode()
			}
			if got := h.send(t, r.Method, address, r.Header, bytes.NewReader(r.Body)); got.status/100 != 2 || got.body["status"] == "quarantined" {
				t.Fatalf("%s/%s: %d %v", p.Name, sample.Name, got.status, got.body)
			}
		}
	}
	for _, e := range h.stored(t, "signing.v1.>") {
		if event.Carries(e.GetCallback()) {
			carriers = append(carriers, e)
		}
	}
	return carriers
}

func (h *harness) check(t *testing.T, e *signingv1.SigningEvent, kept *signingv1.Callback, sources ...config.Source) pack.Check {
	t.Helper()
	env := h.env
	if sources != nil {
		env.Config.Sources = sources
	}
	is, err := ingest.CheckSignature(t.Context(), env, providers.All, e, kept)
	if err != nil {
		t.Fatal(err)
	}
	return is
}

// The signature of every accepted sample verifies again. With a bit changed in any byte of the kept body, it does not, also if the callback's id
// is made to fit. A changed bit that leaves the signed text as it is only changes the id.
func TestEveryKeptSignatureVerifiesUntilABitChanges(t *testing.T) {
	t.Parallel()
	key, certificate := publicKey(t)
	h := open(t, func(c *config.Config) {
		c.Sources[1] = c.Sources[1].With("webhook.secrets=a-new-one,test")
		c.Sources[2] = c.Sources[2].With("webhook.certificate=" + certificate)
	})
	h.env.Config.Sources[1] = h.env.Config.Sources[1].With("webhook.secrets=test") // pack.Sign signs with the first one
	checked := map[signingv1.Verification]int{}
	for _, e := range h.sendSamples(t, key) {
		kept, v := e.GetCallback(), e.GetVerification()
		is := h.check(t, e, kept)
		signed := v == signingv1.Verification_VERIFICATION_HMAC || v == signingv1.Verification_VERIFICATION_RSA
		switch {
		case kept.GetRedacted(), !signed:
			if is.Result != pack.NotChecked || is.Reason == "" {
				t.Errorf("%s %s: %+v", e.GetProvider(), e.GetType(), is)
			}
		case is.Result != pack.SignatureValid || !is.SameKey() || is.Then.Fingerprint == "":
			t.Errorf("%s %s: %+v", e.GetProvider(), e.GetType(), is)
		default:
			checked[v]++
		}
		for i := range kept.GetBody() {
			changed := proto.CloneOf(kept)
			changed.Body[i] ^= 1 << (i % 8)
			if is := h.check(t, e, changed); is.Result != pack.SignatureInvalid {
				t.Fatalf("%s %s: byte %d of %d is changed: %+v", e.GetProvider(), e.GetType(), i, len(kept.GetBody()), is)
			}
			if !signed || kept.GetRedacted() {
				continue
			}
			forged := proto.CloneOf(e)
			forged.Callback.Id = event.CallbackID(e.GetSource(), e.GetProvider(), "POST", strings.TrimPrefix(kept.GetPath(), "/webhooks/"+e.GetProvider()+"/"+e.GetSource()), "", changed.GetBody())
			if is := h.check(t, forged, changed); is.Result != pack.SignatureInvalid && !sameSignedText(kept, changed) {
				t.Fatalf("%s %s: byte %d of %d is changed, and the id: %+v", e.GetProvider(), e.GetType(), i, len(kept.GetBody()), is)
			}
		}
		if i := slices.IndexFunc(kept.GetHeaders(), func(h *signingv1.Header) bool { return strings.HasPrefix(h.GetName(), "X-") }); i >= 0 && signed && !kept.GetRedacted() {
			changed := proto.CloneOf(kept)
			changed.Headers[i].Value = strings.Map(func(r rune) rune { return r ^ 1 }, changed.GetHeaders()[i].GetValue())
			if is := h.check(t, e, changed); is.Result != pack.SignatureInvalid {
				t.Errorf("%s %s: another signature: %+v", e.GetProvider(), e.GetType(), is)
			}
		}
	}
	if checked[signingv1.Verification_VERIFICATION_HMAC] < 10 || checked[signingv1.Verification_VERIFICATION_RSA] < 4 {
		t.Errorf("checked only %v", checked)
	}
}

// sameSignedText reports whether two forms have the same signed fields, or whether the signature does not cover the changed part.
func sameSignedText(one, other *signingv1.Callback) bool {
	if strings.Contains(one.GetHeaders()[0].GetValue(), "multipart") {
		signed := bytes.Index(one.GetBody(), []byte("[")) // the data is the array
		return signed < 0 || bytes.Equal(one.GetBody()[signed:bytes.LastIndexByte(one.GetBody(), ']')], other.GetBody()[min(signed, len(other.GetBody())):bytes.LastIndexByte(other.GetBody(), ']')])
	}
	a, errA := url.ParseQuery(string(one.GetBody()))
	b, errB := url.ParseQuery(string(other.GetBody()))
	return errA == nil && errB == nil && a.Get("data") == b.Get("data") && a.Get("json_signed") == b.Get("json_signed")
}

// The result names the key of then and of today, and why a callback cannot be checked.
func TestWhatIsSaidAboutAKeptCallback(t *testing.T) {
	t.Parallel()
	h := open(t)
	if got := h.plain(t, declined); got.status != 202 {
		t.Fatalf("%d %v", got.status, got.body)
	}
	const secret = `{"id":"v2","event":"document.created","document_id":"D2","verification":"test"}`
	for _, got := range []reply{h.plain(t, secret), h.post(t, "/webhooks/clickwrap/acme", requestSent), h.all(t, "["+signed("a")+"]")} {
		if got.status != 202 {
			t.Fatalf("%d %v", got.status, got.body)
		}
	}
	first := h.stored(t, "signing.v1.plain.pleasesign.document.declined.D1")[0]
	source := func(secrets string) config.Source {
		return providers.NewSource("pleasesign", "plain", "webhook.secrets="+secrets)
	}
	for name, c := range map[string]struct {
		sources []config.Source
		result  pack.CheckResult
		says    string
		now     string
		same    bool
	}{
		"the same key":               {[]config.Source{source("test")}, pack.SignatureValid, "", "webhook.secrets[0]", true},
		"the same key, moved":        {[]config.Source{source("new,test")}, pack.SignatureValid, "", "webhook.secrets[1]", true},
		"the key is gone":            {[]config.Source{source("new")}, pack.NotChecked, "no longer in the settings", "", false},
		"the source is gone":         {[]config.Source{source("new").With()}[:0], pack.NotChecked, "no longer have its source", "", false},
		"the source of another name": {[]config.Source{providers.NewSource("pleasesign", "other", "webhook.secrets=test")}, pack.NotChecked, "no longer have its source", "", false},
	} {
		if is := h.check(t, first, first.GetCallback(), c.sources...); is.Result != c.result || !strings.Contains(is.Reason, c.says) || is.Now.Setting != c.now || c.same && !is.SameKey() {
			t.Errorf("%s: %+v", name, is)
		}
	}
	for filter, says := range map[string]string{
		"signing.v1.plain.pleasesign.endpoint.>": "a secret of the source was removed",
		requestSentSubject:                       "a shared token",
		"signing.v1.old.>":                       "a shared token",
	} {
		e := h.stored(t, filter)[0]
		if is := h.check(t, e, e.GetCallback()); is.Result != pack.NotChecked || !strings.Contains(is.Reason, says) {
			t.Errorf("%s: %+v", filter, is)
		}
		if is := h.check(t, e, nil); is.Result != pack.NotChecked || !strings.Contains(is.Reason, "not kept") {
			t.Errorf("%s, not kept: %+v", filter, is)
		}
	}
	// The same bytes are verified by a key of another place and name, with the right text.
	other := proto.CloneOf(first)
	other.Callback.Key, other.Callback.KeyFingerprint = "webhook.secrets[3]", "sha256:0000000000000000"
	if is := h.check(t, other, other.GetCallback()); is.Result != pack.SignatureValid || is.SameKey() {
		t.Errorf("another key: %+v", is)
	}
}

package ingest_test

import (
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/providers"
)

// The response to a wrong path names the wrong part. The request is counted and logged, and never redirected. Labels and log lines contain
// nothing of the path's text. A path with a slash at the end, or with another spelling, reaches the intended source.
func TestAWrongPathIsReported(t *testing.T) {
	t.Parallel()
	const strange = "str4nge"
	h := open(t)
	var all []string
	for _, p := range providers.All {
		all = append(all, p.Name)
	}
	names := strings.Join(all, ", ")
	for path, want := range map[string]struct {
		reason, detail   string // "" is accepted
		provider, source string
	}{
		"/webhooks/clickwrap/acme/":                 {"", "", "clickwrap", "acme"},
		"/webhooks/clickwrap/acme///":               {"empty-part", "two slashes", "unknown", "unknown"},
		"//webhooks/clickwrap/acme":                 {"empty-part", "two slashes", "unknown", "unknown"},
		"/webhooks//clickwrap//acme":                {"empty-part", "two slashes", "unknown", "unknown"},
		"/%77ebhooks/clickwr%61p/%61cme":            {"escaped", "percent sign", "unknown", "unknown"},
		"/webhooks/clickwrap%2Facme":                {"escaped", "percent sign", "unknown", "unknown"},
		"/webhooks/clickwrap/acme%2F":               {"escaped", "percent sign", "unknown", "unknown"},
		"/webhooks/esign-v1/old/all/?token=demo":    {"", "", "esign-v1", "old"},
		"/webhooks/esign-v1/old//signed?token=demo": {"empty-part", "two slashes", "unknown", "unknown"},
		"/webhooks/esign-v1/old/%61ll?token=demo":   {"escaped", "percent sign", "unknown", "unknown"},
		"/webhooks%2Fclickwrap%2Facme":              {"escaped", "percent sign", "unknown", "unknown"},
		"/prefix/webhooks/clickwrap/acme":           {"prefix", "before /webhooks", "unknown", "unknown"},
		"/" + strange + "/webhooks/clickwrap/acme/": {"prefix", "before /webhooks", "unknown", "unknown"},
		"/":                                            {"no-such-path", "/webhooks/<provider>/<source>", "unknown", "unknown"},
		"/" + strange:                                  {"no-such-path", "/webhooks/<provider>/<source>", "unknown", "unknown"},
		"/webhook/clickwrap/acme":                      {"no-such-path", "/webhooks/<provider>/<source>", "unknown", "unknown"},
		"/clickwrap/acme":                              {"no-such-path", "/webhooks/<provider>/<source>", "unknown", "unknown"},
		"/webhooks":                                    {"provider-missing", names, "unknown", "unknown"},
		"/webhooks/":                                   {"provider-missing", names, "unknown", "unknown"},
		"/webhooks/" + strange + "/acme":               {"no-such-provider", names, "unknown", "unknown"},
		"/webhooks/Clickwrap/acme":                     {"no-such-provider", names, "unknown", "unknown"},
		"/webhooks/./clickwrap/acme":                   {"no-such-provider", names, "unknown", "unknown"},
		"/webhooks/../webhooks/clickwrap/acme":         {"no-such-provider", names, "unknown", "unknown"},
		"/webhooks/%2e%2e/clickwrap/acme":              {"escaped", "percent sign", "unknown", "unknown"},
		"/webhooks/clickwrap":                          {"source-missing", "/webhooks/clickwrap/<source>", "clickwrap", "unknown"},
		"/webhooks/clickwrap/":                         {"source-missing", "/webhooks/clickwrap/<source>", "clickwrap", "unknown"},
		"/webhooks/clickwrap/" + strange:               {"no-such-source", "no such source", "clickwrap", "unknown"},
		"/webhooks/clickwrap/" + strange + "/all":      {"no-such-source", "no such source", "clickwrap", "unknown"},
		"/webhooks/clickwrap/acme%20":                  {"escaped", "percent sign", "unknown", "unknown"},
		"/webhooks/clickwrap/acme/" + strange:          {"no-such-door", "Nothing may follow", "clickwrap", "acme"},
		"/webhooks/clickwrap/acme/all":                 {"no-such-door", "Nothing may follow", "clickwrap", "acme"},
		"/webhooks/clickwrap/../clickwrap/acme":        {"no-such-source", "no such source", "clickwrap", "unknown"},
		"/webhooks/esign-v1/old?token=demo":            {"door-missing", "/all or /signed", "esign-v1", "old"},
		"/webhooks/esign-v1/old/?token=demo":           {"door-missing", "/all or /signed", "esign-v1", "old"},
		"/webhooks/esign-v1/old/" + strange:            {"no-such-door", "/all or /signed", "esign-v1", "old"},
		"/webhooks/esign-v1/old/all/signed?token=demo": {"no-such-door", "/all or /signed", "esign-v1", "old"},
		"/webhooks/esign-v1/old/ALL?token=demo":        {"no-such-door", "/all or /signed", "esign-v1", "old"},
		"/webhooks/pleasesign/acme":                    {"no-such-source", "no such source", "pleasesign", "unknown"},
		"/webhooks/clickwrap/acme/webhooks/" + strange: {"no-such-door", "Nothing may follow", "clickwrap", "acme"},
	} {
		sent := `{"event_type":"test_event","id":"a"}`
		header := http.Header{"Pactsafe-Webhook-Token": {"12345"}, "Content-Type": {"application/json"}}
		if strings.Contains(path, "esign-v1") {
			sent, header = "data=[]&uuid=D", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		}
		counted, logged := h.refused(t, want.provider, want.source, want.reason), len(h.logged.String())
		got := h.send(t, "POST", path, header, strings.NewReader(sent))
		if want.reason == "" {
			if got.status >= 300 {
				t.Errorf("%s: %d %v", path, got.status, got.body)
			}
			continue
		}
		detail, _ := got.body["detail"].(string)
		if got.status != 404 || got.body["reason"] != want.reason || !strings.Contains(detail, want.detail) || strings.Contains(detail, strange) {
			t.Errorf("%s: %d %v, want %s", path, got.status, got.body, want.reason)
		}
		if n := h.refused(t, want.provider, want.source, want.reason) - counted; n != 1 {
			t.Errorf("%s: counted %v times", path, n)
		}
		if line := h.logged.String()[logged:]; !strings.Contains(line, `"reason":"`+want.reason+`"`) || strings.Contains(line, strange) {
			t.Errorf("%s: logged %q", path, line)
		}
	}
}

// refused returns how often requests of a provider and source were refused for a reason.
func (h *harness) refused(t *testing.T, provider, source, reason string) float64 {
	t.Helper()
	return h.metric(t, "signrelay_ingest_requests_total", map[string]string{"provider": provider, "source": source, "outcome": "refused", "reason": reason})
}

// metric returns the value of a counter or gauge with exactly these labels; 0 if there is none.
func (h *harness) metric(t *testing.T, name string, want map[string]string) float64 {
	t.Helper()
	families, err := h.registry(t).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == name && maps.Equal(labels, want) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// The encoding "identity" is accepted in every spelling.
func TestTheIdentityEncodingIsAccepted(t *testing.T) {
	t.Parallel()
	h := open(t)
	for encodings, want := range map[string]int{
		"identity": 202, "Identity": 202, " IDENTITY ": 202, "identity, identity": 202, "identity,": 202, "": 202, "identity|Identity": 202,
		"gzip": 415, "identity, gzip": 415, "gzip, identity": 415, "identity|br": 415, "identity;q=1": 415, "x-identity": 415,
	} {
		header := http.Header{"Pactsafe-Webhook-Token": {"12345"}, "Content-Encoding": strings.Split(encodings, "|")}
		body := `{"event_type":"test_event","id":` + strconv.Quote(encodings) + `}`
		if got := h.send(t, "POST", "/webhooks/clickwrap/acme", header, strings.NewReader(body)); got.status != want {
			t.Errorf("%q: %d %v, want %d", encodings, got.status, got.body, want)
		}
	}
}

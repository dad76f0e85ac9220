package console_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/evidence/signkey"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/index"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/servicetest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
	"github.com/signrelay/signrelay/services/console"
	consolesettings "github.com/signrelay/signrelay/services/console/settings"
	indexsettings "github.com/signrelay/signrelay/services/indexer/settings"
	standalonesettings "github.com/signrelay/signrelay/services/standalone/settings"
)

// populated is a console with personal data in each place that it reads: the log, the index, the archive, dead letters, quarantine, held messages,
// schedules, saved views.
type populated struct {
	*bench
	raw string   // the event that has a callback
	job string   // a job that runs
	all []string // the personal data
}

func populate(t *testing.T, roles ...string) *populated {
	t.Helper()
	realtest.Server(t, "NATS")
	cfg := config.Default().With(consolesettings.Section, indexsettings.Section, archivesettings.Section, standalonesettings.Section)
	cfg.Sources = []config.Source{providers.NewSource("pleasesign", "onboarding", "webhook.secrets=test")}
	consolesettings.Section.In(&cfg).LocalRoles = roles
	files := t.TempDir()
	archivesettings.Section.In(&cfg).URL = "file://" + files
	where := "sqlite://" + filepath.ToSlash(t.TempDir()) + "/index.db"
	indexsettings.Section.In(&cfg).URL = where
	key, err := signkey.New()
	must(t, err)
	standalonesettings.Section.In(&cfg).Key = string(key)
	p := &populated{bench: &bench{Bench: servicetest.New(t, cfg), t: t}, all: slices.Concat(secretWords, personal, []string{"Marta", "491 570"})}

	p.story("D1")
	p.raw = p.callback("D1", `{"who":"Olivia Nguyen"}`).GetId()
	content := []byte("%PDF-1.7 Secret contract of Olivia Nguyen")
	sum := sha256.Sum256(content)
	must(t, os.WriteFile(filepath.Join(files, "file"), content, 0o600))
	p.tell("D1", event.DocumentArchived, func(e *signingv1.SigningEvent) {
		e.Verification = signingv1.Verification_VERIFICATION_INTERNAL
		e.File = &signingv1.File{Kind: "signed", Size: uint64(len(content)), Sha256: hex.EncodeToString(sum[:]), Key: "file"}
	})
	_, err = erase.Hold(t.Context(), p.Env.JS, erase.Document{Source: "onboarding", Provider: "pleasesign", Token: "D1"}, erase.Order{By: "mara", Reason: "Marta Szczepanska sues"}, time.Now())
	must(t, err)
	p.story("D2") // without a hold, so that it can be erased
	p.bury(p.tell("D1", event.RecipientOpened, func(e *signingv1.SigningEvent) { e.Recipient = second }))
	p.giveUp("permanent", 1)
	p.quarantine()
	attempts, err := p.Env.JS.KeyValue(t.Context(), flow.Attempts)
	must(t, err)
	held, err := json.Marshal(map[string]any{"held": map[string]any{
		"since": time.Now().Add(-time.Hour), "reason": "bad-credentials", "fault": "operator", "channel": "sms", "notification_id": "n-smsr-2", "source": "onboarding", "provider": "pleasesign",
		"document": "D1", "kind": "invitation", "tries": 3,
	}})
	must(t, err)
	_, err = attempts.Put(t.Context(), "message.sms.n-smsr-2", held)
	must(t, err)

	o := &operate.Operator{JS: p.Env.JS}
	got, err := o.Dossier(t.Context(), operate.Document{Source: "onboarding", Provider: "pleasesign", ID: "D1"}, document.Facts{})
	must(t, err)
	row, err := index.RowOf(&got.Document, got.Events[0].Sequence)
	must(t, err)
	i, err := index.Open(t.Context(), where)
	must(t, err)
	t.Cleanup(func() { _ = i.Close() })
	must(t, i.Apply(t.Context(), index.Batch{Rows: []index.Row{row}}))
	must(t, i.SaveView(t.Context(), index.View{Name: "Marta’s", Owner: "everybody", Query: index.Query{Text: "Szczepanska"}}))
	plan, err := o.Plan(t.Context(), operate.Drop, operate.Selection{Filter: operate.Filter{Stage: "email-sender"}}, "mara", "TICKET-1")
	must(t, err)
	job, err := o.Start(t.Context(), plan.Token, "mara")
	must(t, err)
	p.job = job.ID
	var asked atomic.Int64 // the requests come faster than one reader may search, so the console's clock runs ahead
	p.Env.Now = func() time.Time { return time.Now().Add(time.Duration(asked.Add(1)) * 100 * time.Millisecond) }
	p.bench = p.restart()
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// values are what the test puts into an address or a form, for each key of each page. A page with another key fails the test until its row is here.
func (p *populated) values() map[string][]string {
	var actions []string
	for _, a := range operate.Actions {
		actions = append(actions, string(a))
	}
	return map[string][]string{
		// In paths.
		"provider": {"pleasesign"}, "source": {"onboarding"}, "name": {"onboarding"}, "document": {"D1", "D2"}, "id": {p.job},
		"key": {"dead." + fmt.Sprintf("%020d", 1), "dead." + fmt.Sprintf("%020d", 2), "quarantined." + fmt.Sprintf("%020d", 1), "held.message.sms.n-smsr-2"},
		// Of one document.
		"show": {"all", "callbacks", "messages", "clicks", "problems", "x"}, "detail": {"all"}, "do": append(actions, "save", "rename", "delete", "pause", "stop", "x"),
		"to": {"1", "2", "9"}, "channel": {"sms", "email"}, "raw": {p.raw, "x"}, "get": {"bytes", "evidence"}, "file": {"1", "2"}, "job": {p.job, "x"},
		// Of lists.
		"q": {"D1", "61491570156", "olivia.nguyen@example.com", "Wil", "x"}, "s": {"x"}, "view": {"x"}, "state": {"waiting"}, "untold": {"1"}, "stuck": {"1"}, "since": {"7d"}, "until": {"1h"},
		"after": {"1"}, "before": {"zz"}, "format": {"csv"}, "only": {"pleasesign/onboarding/D1"}, "weeks": {"4"},
		"what": {"dead", "held", "quarantined"}, "stage": {"email-sender"}, "reason": {"permanent"}, "which": {"match", "page", "selected"}, "rate": {"1"},
		// Of the sign-in.
		"next": {"/me"}, "code": {"x"}, "error": {"x"}, "error_description": {"x"}, "error_uri": {"x"}, "iss": {"x"}, "session_state": {"x"}, "time": {"utc"},
	}
}

// paths returns the addresses of a page: with each value in each wildcard, with each value of each key, and with the pairs of keys that only have a
// meaning together.
func (p *populated) paths(t *testing.T, page console.Page) (all []string) {
	t.Helper()
	values := p.values()
	bases := []string{strings.NewReplacer("{$}", "", "...}", "}").Replace(page.Path)}
	for key, choices := range values {
		for i := 0; i < len(bases); i++ {
			if before, after, found := strings.Cut(bases[i], "{"+key+"}"); found {
				bases[i] = before + choices[0] + after
				for _, more := range choices[1:] {
					bases = append(bases, before+more+after)
				}
			}
		}
	}
	for _, base := range bases {
		if strings.ContainsAny(base, "{}") {
			t.Errorf("%s: the test has no value for a part of the path", page.Path)
		}
		all = append(all, base)
		for _, key := range page.Keys {
			if len(values[key]) == 0 {
				t.Errorf("%s: the test has no value for the key %q", page.Path, key)
			}
			for _, v := range values[key] {
				one := base + "?" + url.Values{key: {v}}.Encode()
				all = append(all, one)
				pairs := map[string][]string{"do": {"which=match", "which=page", "to=1", "to=2&channel=email"}, "raw": {"get=bytes"}, "format": {"only=pleasesign%2Fonboarding%2FD1"}, "what": {"do=replay&which=match"}}
				for _, with := range pairs[key] {
					if name, _, _ := strings.Cut(with, "="); slices.Contains(page.Keys, name) {
						all = append(all, one+"&"+with)
					}
				}
			}
		}
	}
	return all
}

// responses calls each page in each of its forms, with each type of response, and yields what was asked and the whole response.
func (p *populated) responses(t *testing.T, seen func(page console.Page, asked, response string)) {
	t.Helper()
	client := p.browser()
	_, first := p.get(client, "/documents")
	token := p.token(first)
	form := url.Values{"token": {token}, "why": {"TICKET-2"}, "effect": {"x"}, "plan": {"x"}, "count": {"1"}, "body": {"{}"}, "sure": {"x"}, "shared": {"1"}, "password": {"x"},
		"first_name": {"Jan"}, "last_name": {"Roe"}, "email": {"jan@example.com"}, "mobile": {""}}
	for key, choices := range p.values() {
		form.Set(key, choices[0])
	}
	for _, page := range console.Pages() {
		for _, path := range p.paths(t, page) {
			forms := []url.Values{nil}
			if page.Method != http.MethodGet {
				forms = nil
				for _, q := range p.values()["q"] {
					f := maps.Clone(form)
					f["q"] = []string{q}
					f.Del("state")
					forms = append(forms, f)
				}
				if !strings.HasPrefix(page.Path, "/documents") {
					forms = forms[:1]
				}
			}
			for _, f := range forms {
				for _, accept := range []string{"text/html", "application/json", "text/csv"} {
					body := bytes.NewReader([]byte(f.Encode()))
					r, err := http.NewRequestWithContext(t.Context(), page.Method, p.url+path, body)
					must(t, err)
					r.Header.Set("Accept", accept)
					if f != nil {
						r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					}
					response, err := client.Do(r)
					must(t, err)
					var text []byte
					if strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
						text = make([]byte, 64) // the stream does not end
						_, err = io.ReadAtLeast(response.Body, text, 20)
					} else {
						text, err = io.ReadAll(response.Body)
					}
					_ = response.Body.Close()
					must(t, err)
					var head bytes.Buffer
					must(t, response.Header.Write(&head))
					asked, _ := url.QueryUnescape(page.Method + " " + path + " as " + accept + " " + f.Get("q"))
					seen(page, asked, head.String()+"\n"+string(text))
				}
			}
		}
	}
}

// Without the role private, no response of any route has a name, an address, a number, a title or a text: pages, JSON, CSV, the stream of live updates,
// downloads, plans, refused forms, problems. The test takes the routes and their keys from the console itself.
func TestNoRouteNamesAPerson(t *testing.T) {
	t.Parallel()
	p := populate(t, "look", "operate", "erase")
	tried := 0
	p.responses(t, func(_ console.Page, asked, response string) {
		tried++
		for _, secret := range p.all {
			if strings.Contains(response, secret) && !strings.Contains(asked, secret) { // a search repeats its own text
				at := strings.Index(response, secret)
				t.Errorf("%s has %q: …%s…", asked, secret, response[max(0, at-200):min(len(response), at+200)])
			}
		}
	})
	if tried < 300 {
		t.Errorf("tried %d requests", tried)
	}
	for _, secret := range p.all {
		if strings.Contains(p.Logged.String(), secret) {
			t.Errorf("the console's log has %q", secret)
		}
	}
	t.Logf("%d responses", tried)
}

// The control: with the role private, the same requests name people on each page that shows people.
func TestPrivateReaderSeesPeople(t *testing.T) {
	t.Parallel()
	p := populate(t, "look", "operate", "private")
	names := map[string]bool{}
	p.responses(t, func(page console.Page, asked, response string) {
		for _, secret := range p.all {
			if strings.Contains(response, secret) && !strings.Contains(asked, secret) {
				names[page.Method+" "+page.Path] = true
			}
		}
	})
	for _, want := range []string{"GET /documents", "POST /documents", "GET /documents/{provider}/{source}/{document...}", "POST /documents/{provider}/{source}/{document...}", "GET /stuck/{key}"} {
		if !names[want] {
			t.Errorf("%s names no person", want)
		}
	}
}

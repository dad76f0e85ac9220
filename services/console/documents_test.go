package console_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/index"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/servicetest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	consolesettings "github.com/signrelay/signrelay/services/console/settings"
	indexsettings "github.com/signrelay/signrelay/services/indexer/settings"
)

// shelf is a console with an index of its own.
type shelf struct {
	*bench
	index  *index.Index
	number uint64
	now    time.Time
}

func fill(t *testing.T, roles ...string) *shelf {
	t.Helper()
	realtest.Server(t, "NATS")
	cfg := config.Default().With(consolesettings.Section).With(indexsettings.Section)
	cfg.Sources = []config.Source{providers.NewSource("pleasesign", "onboarding", "webhook.secrets=test")}
	consolesettings.Section.In(&cfg).LocalRoles = roles
	where := "sqlite://" + filepath.ToSlash(t.TempDir()) + "/index.db"
	indexsettings.Section.In(&cfg).URL = where
	i, err := index.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	s := &shelf{index: i, now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)}
	s.bench = &bench{Bench: servicetest.New(t, cfg), t: t}
	s.Env.Now = func() time.Time { return s.now }
	s.bench = s.restart()
	return s
}

// put folds events into a document, and stores it as the indexer does. ago is the age of its sending.
func (s *shelf) put(source, id, title string, ago time.Duration, who *signingv1.Recipient, types ...string) {
	s.t.Helper()
	d := new(document.Document)
	sent := s.now.Add(-ago)
	for n, eventType := range append([]string{event.DocumentSent}, types...) {
		s.number++
		e := &signingv1.SigningEvent{
			Id: strconv.FormatUint(s.number, 10), Source: source, Provider: "pleasesign", Type: eventType, OccurredAt: timestamppb.New(sent.Add(time.Duration(n) * time.Hour)),
			Document: &signingv1.Document{Id: id, Title: title}, Recipient: who, Verification: signingv1.Verification_VERIFICATION_HMAC,
		}
		if n == 0 {
			e.Recipient = nil
		}
		if strings.HasPrefix(eventType, "notification.") {
			e.Verification = signingv1.Verification_VERIFICATION_INTERNAL
			e.Notice = &signingv1.Notice{Kind: "invitation", Channel: "sms", NotificationId: "n-" + id, Parts: 2}
			if eventType == event.NotificationDeferred {
				e.Notice.Reason, e.Notice.Fault = "bad-credentials", "operator"
			}
		}
		d.Apply(e, s.number)
	}
	row, err := index.RowOf(d, s.number)
	if err == nil {
		err = s.index.Apply(s.t.Context(), index.Batch{Rows: []index.Row{row}})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

var (
	wilson = &signingv1.Recipient{Id: "p1", FirstName: "Jack", LastName: "Wilson", Email: "jack.wilson@example.com", Mobile: "+61491570156"}
	nguyen = &signingv1.Recipient{Id: "p2", FirstName: "Olivia", LastName: "Nguyen", Email: "olivia@example.org", Mobile: "+61491570006"}
	evil   = &signingv1.Recipient{Id: "p3", FirstName: "=HYPERLINK(1)", LastName: hostile, Email: "evil@example.net", Mobile: "+61491570110"}
)

func (s *shelf) three() {
	s.put("onboarding", "PLSDOC-one", "Contract of Sale", 2*time.Hour, wilson, event.RecipientSent, event.NotificationRequested, event.NotificationDeferred)
	s.put("legal", "PLSDOC-two", "Lease", 9*24*time.Hour, nguyen, event.RecipientSent, event.NotificationRequested, event.NotificationSent, event.NotificationDelivered, event.RecipientOpened, event.RecipientSigned, event.DocumentCompleted)
	s.put("onboarding", "PLSDOC-three", "@SUM(1) "+hostile, 20*24*time.Hour, evil, event.RecipientSent)
}

// personalTexts is what no response may have without the role private.
var personalTexts = []string{"Wilson", "Jack", "Nguyen", "Olivia", "example.com", "example.org", "491570156", "491570006", "Contract of Sale", "Lease", "HYPERLINK", "SUM(1)"}

type listed struct {
	Total     int
	About     bool
	Documents []struct {
		ID, Title, State, Path string
		People                 []struct{ Name, State string }
	}
	Older, Newer string
}

func (s *shelf) list(path string) (l listed) {
	s.t.Helper()
	response, body := s.do(s.browser(), http.MethodGet, path, nil, "application/json")
	if err := json.Unmarshal([]byte(body), &l); err != nil || response.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: status %d, %v: %s", path, response.StatusCode, err, body)
	}
	return l
}

func (l listed) ids() string {
	var all []string
	for _, d := range l.Documents {
		all = append(all, strings.TrimPrefix(d.ID, "PLSDOC-"))
	}
	return strings.Join(all, " ")
}

func TestEachFilterOfDocuments(t *testing.T) {
	t.Parallel()
	s := fill(t, "private", "operate")
	s.three()
	for query, want := range map[string]string{
		"": "three two one", "q=wil": "one", "q=lease": "two", "source=legal": "two", "provider=pleasesign&source=onboarding": "three one", "provider=clickwrap": "",
		"state=completed": "two", "state=waiting": "three one", "untold=1": "one", "stuck=1": "one", "since=24h": "one", "since=10d": "two one", "until=7d": "three two",
		"q=wil&state=completed": "", "q=PLSDOC": "three two one",
	} {
		if got := s.list("/documents?" + query); got.ids() != want || got.Total != len(strings.Fields(want)) {
			t.Errorf("%q: %q, total %d, want %q", query, got.ids(), got.Total, want)
		}
	}
	for _, query := range []string{"stat=x", "state=lost", "untold=yes", "since=week", "after=!", "after=1&before=2", "q=a&s=b", "format=xml", "q=jack@x", "q=12345"} {
		if response, body := s.do(s.browser(), http.MethodGet, "/documents?"+query, nil, "application/json"); response.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: status %d: %s", query, response.StatusCode, body)
		}
	}
}

// A reader may make 40 searches at once and 20 a second. Other pages have no limit.
func TestSearchesAreLimited(t *testing.T) {
	t.Parallel()
	s := fill(t, "look")
	c := s.browser()
	accepted := func() (n int, last *http.Response) {
		for {
			last, _ = s.do(c, http.MethodGet, "/documents?q=wil", nil, "application/json")
			if last.StatusCode != http.StatusOK || n > 100 {
				return n, last
			}
			n++
		}
	}
	n, refused := accepted()
	if n != 40 || refused.StatusCode != http.StatusTooManyRequests || refused.Header.Get("Retry-After") != "1" || refused.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("after %d searches: status %d, Retry-After %q", n, refused.StatusCode, refused.Header.Get("Retry-After"))
	}
	if response, _ := s.get(c, "/sources"); response.StatusCode != http.StatusOK {
		t.Errorf("another page: status %d", response.StatusCode)
	}
	s.now = s.now.Add(time.Second)
	if n, _ := accepted(); n != 20 {
		t.Errorf("a second later: %d searches", n)
	}
	s.now = s.now.Add(time.Hour)
	if n, _ := accepted(); n != 40 {
		t.Errorf("an hour later: %d searches", n)
	}
}

func TestDocumentsArePagedBothWays(t *testing.T) {
	t.Parallel()
	s := fill(t, "private")
	for n := range 120 {
		s.put("onboarding", fmt.Sprintf("PLSDOC-%03d", n), "Paper", time.Hour, nil)
	}
	first := s.list("/documents")
	second := s.list(first.Older)
	third := s.list(second.Older)
	back := s.list(third.Newer)
	if len(first.Documents) != 50 || first.Newer != "" || len(third.Documents) != 20 || third.Older != "" || third.Total != 120 {
		t.Errorf("pages of %d, %d and %d documents of %d", len(first.Documents), len(second.Documents), len(third.Documents), third.Total)
	}
	if second.Documents[0].ID != "PLSDOC-069" || back.ids() != second.ids() || s.list(back.Newer).ids() != first.ids() {
		t.Errorf("back from the third page: %s, want %s", back.ids(), second.ids())
	}
	if _, page := s.get(s.browser(), "/documents"); !strings.Contains(page, "120 documents") || !strings.Contains(page, `rel="next"`) {
		t.Errorf("the page does not count or has no next page")
	}
}

// A number or an address is in no address of the console, and in no line of its log.
func TestPersonalTextIsInNoAddress(t *testing.T) {
	t.Parallel()
	s := fill(t, "private", "operate")
	s.three()
	c := s.browser()
	_, page := s.get(c, "/documents")
	token := s.token(page)
	for _, text := range []string{"+61 491 570 156", "jack.wilson@example.com", "91570"} {
		response, _ := s.do(c, http.MethodPost, "/documents", url.Values{"token": {token}, "q": {text}, "source": {"onboarding"}}, "text/html")
		at := response.Header.Get("Location")
		if response.StatusCode != http.StatusSeeOther || !strings.HasPrefix(at, "/documents?s=") || strings.ContainsAny(at, "@+") || strings.Contains(at, "9157") {
			t.Fatalf("%q: status %d to %q", text, response.StatusCode, at)
		}
		_, page = s.get(c, at)
		if !strings.Contains(page, "PLSDOC-one") || !strings.Contains(page, "<mark>") {
			t.Errorf("%q is not found or not marked:\n%s", text, page)
		}
		for _, m := range regexp.MustCompile(`(?:href|action)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
			if strings.Contains(m[1], "9157") || strings.Contains(m[1], "wilson") || strings.Contains(m[1], "%40") {
				t.Errorf("the address %q has the text", m[1])
			}
		}
	}
	if response, _ := s.get(c, "/documents?q=jack.wilson%40example.com"); !strings.HasPrefix(response.Header.Get("Location"), "/documents?s=") {
		t.Errorf("an address with an e-mail address: %d to %q", response.StatusCode, response.Header.Get("Location"))
	}
	response, _ := s.do(c, http.MethodPost, "/documents", url.Values{"token": {token}, "q": {"wil"}}, "text/html")
	if at := response.Header.Get("Location"); at != "/documents?q=wil" {
		t.Errorf("a piece of a name leads to %q", at)
	}
	if response, _ := s.get(c, "/documents?s=unknown"); response.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown token: status %d", response.StatusCode)
	}
	if response, _ := s.do(c, http.MethodPost, "/documents", url.Values{"q": {"wil"}}, "text/html"); response.StatusCode != http.StatusForbidden {
		t.Errorf("a search without the session's token: status %d", response.StatusCode)
	}
	for _, secret := range []string{"9157", "wilson", "Wilson"} {
		if strings.Contains(s.Logged.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

func TestWholeIDLeadsToItsDocument(t *testing.T) {
	t.Parallel()
	s := fill(t, "look")
	s.three()
	response, _ := s.get(s.browser(), "/documents?q=PLSDOC-two")
	if at := response.Header.Get("Location"); response.StatusCode != http.StatusSeeOther || at != "/documents/pleasesign/legal/PLSDOC-two" {
		t.Errorf("a whole id: status %d to %q", response.StatusCode, at)
	}
}

func TestEmptyListSaysTheNextStep(t *testing.T) {
	t.Parallel()
	s := fill(t, "private")
	if _, page := s.get(s.browser(), "/documents"); !strings.Contains(page, "No documents yet") {
		t.Errorf("an empty index:\n%s", page)
	}
	s.three()
	_, page := s.get(s.browser(), "/documents?q=wil&source=legal&since=7d")
	for _, want := range []string{"No document has “wil” and was sent in the last 7 days in legal", "Without the 2 filters there is 1 document.", `href="/documents?q=wil"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

func TestHostileTitlesAreText(t *testing.T) {
	t.Parallel()
	s := fill(t, "private")
	s.three()
	for _, path := range []string{"/documents", "/documents?q=SUM", "/documents?q=script", "/documents?q=" + url.QueryEscape(hostile)} {
		_, page := s.get(s.browser(), path)
		if strings.Contains(page, "<script>alert") || strings.Contains(page, `"onx=`) {
			t.Errorf("%s has the title as markup:\n%s", path, page)
		}
	}
}

func TestReaderWithoutPrivateSeesNoPerson(t *testing.T) {
	t.Parallel()
	s := fill(t, "operate")
	s.three()
	c := s.browser()
	_, page := s.get(c, "/documents")
	token := s.token(page)
	check := func(what, body string) {
		t.Helper()
		for _, word := range personalTexts {
			if strings.Contains(body, word) {
				t.Errorf("%s has %q:\n%s", what, word, body)
			}
		}
	}
	if !strings.Contains(page, "Signer 1") {
		t.Errorf("the page has no Signer 1:\n%s", page)
	}
	for _, path := range []string{"/documents", "/documents?untold=1", "/documents?format=csv", "/insight", "/insight?format=csv"} {
		for _, accept := range []string{"text/html", "application/json"} {
			_, body := s.do(c, http.MethodGet, path, nil, accept)
			check(path, body)
		}
	}
	for text, want := range map[string]string{"wil": "", "Contract": "", "PLSDOC-o": "", "570156": "", "+61491570156": "one", "0491570156": "one", "jack.wilson@example.com": "one", "PLSDOC-two": "two"} {
		form := url.Values{"q": {text}}
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/documents", strings.NewReader(form.Encode()))
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}, "Signrelay-Token": {token}}
		response, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var l listed
		if err := json.NewDecoder(response.Body).Decode(&l); err != nil || l.ids() != want {
			t.Errorf("%q finds %q (%v), want %q", text, l.ids(), err, want)
		}
		_ = response.Body.Close()
	}
}

func TestCSVHasNoFormulas(t *testing.T) {
	t.Parallel()
	s := fill(t, "private")
	s.three()
	response, body := s.get(s.browser(), "/documents?format=csv&source=onboarding")
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(body, "\ufeff"))).ReadAll()
	if err != nil || len(rows) != 3 || response.Header.Get("Content-Type") != "text/csv; charset=utf-8" || !strings.HasPrefix(response.Header.Get("Content-Disposition"), "attachment") {
		t.Fatalf("%v, %d rows: %s", err, len(rows), body)
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@", rune(cell[0])) {
				t.Errorf("the cell %q is a formula", cell)
			}
		}
	}
	if !strings.Contains(body, "'@SUM(1)") || !strings.Contains(body, "'=HYPERLINK") || !strings.Contains(body, "'+61491570156") {
		t.Errorf("the download lacks the texts:\n%s", body)
	}
	_, body = s.get(s.browser(), "/documents?format=csv&only=pleasesign%2Flegal%2FPLSDOC-two")
	if strings.Count(body, "\n") != 2 || !strings.Contains(body, "PLSDOC-two") {
		t.Errorf("the download of a selection:\n%s", body)
	}
}

func TestViewsOfDocuments(t *testing.T) {
	t.Parallel()
	s := fill(t, "private", "operate")
	s.three()
	c := s.browser()
	_, page := s.get(c, "/documents")
	token := s.token(page)
	change := func(want int, form url.Values) string {
		t.Helper()
		form.Set("token", token)
		response, body := s.do(c, http.MethodPost, "/documents/views", form, "text/html")
		if response.StatusCode != want {
			t.Fatalf("%v: status %d, want %d:\n%s", form, response.StatusCode, want, body)
		}
		return response.Header.Get("Location")
	}
	at := change(http.StatusSeeOther, url.Values{"do": {"save"}, "name": {"His number"}, "q": {"+61491570156"}, "since": {"7d"}})
	if strings.Contains(at, "9157") || strings.Contains(at, "number") || s.list(at).ids() != "one" {
		t.Fatalf("the view at %q has %q", at, s.list(at).ids())
	}
	s.now = s.now.Add(30 * 24 * time.Hour)
	if got := s.list(at).ids(); got != "" {
		t.Errorf("30 days later the view of the last 7 days has %q", got)
	}
	s.now = s.now.Add(-30 * 24 * time.Hour)
	renamed := change(http.StatusSeeOther, url.Values{"do": {"rename"}, "view": {strings.TrimPrefix(at, "/documents?view=")}, "name": {"The number"}})
	if _, page = s.get(c, renamed); !strings.Contains(page, "The number") || strings.Contains(page, "His number") {
		t.Errorf("after the new name:\n%s", page)
	}
	shared := change(http.StatusSeeOther, url.Values{"do": {"save"}, "name": {"Wilson"}, "q": {"wil"}, "shared": {"1"}})
	change(http.StatusSeeOther, url.Values{"do": {"delete"}, "view": {strings.TrimPrefix(renamed, "/documents?view=")}})
	if response, _ := s.get(c, renamed); response.StatusCode != http.StatusNotFound {
		t.Errorf("a deleted view: status %d", response.StatusCode)
	}
	change(http.StatusBadRequest, url.Values{"do": {"save"}, "name": {""}})
	change(http.StatusNotFound, url.Values{"do": {"delete"}, "view": {"other"}})

	consolesettings.Section.In(&s.Env.Config).LocalRoles = []string{"look"}
	s.Env.Live = config.NewLive(s.Env.Config)
	masked := s.restart()
	c = masked.browser()
	if response, page := masked.get(c, shared); response.StatusCode != http.StatusNotFound || strings.Contains(page, "Wilson") {
		t.Errorf("a view with a name, without private: status %d:\n%s", response.StatusCode, page)
	}
	_, page = masked.get(c, "/documents")
	response, _ := masked.do(c, http.MethodPost, "/documents/views", url.Values{"token": {masked.token(page)}, "do": {"save"}, "name": {"x"}, "shared": {"1"}}, "text/html")
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("a shared view without operate: status %d", response.StatusCode)
	}
}

// Without an index, and without its database, the page says what still works, and a whole id still leads to its document.
func TestIndexAway(t *testing.T) {
	t.Parallel()
	s := fill(t, "private")
	s.tell("PLSDOC-log", event.DocumentSent, func(*signingv1.SigningEvent) {})
	for where, want := range map[string]string{
		"": "SIGNRELAY_INDEX_URL", "sqlite://" + filepath.ToSlash(t.TempDir()) + "/none.db": "The indexer makes it", "postgres://nobody@127.0.0.1:1/none": "a document still opens by its whole id",
	} {
		indexsettings.Section.In(&s.Env.Config).URL = where
		away := s.restart()
		for _, path := range []string{"/documents", "/insight"} {
			response, page := away.get(away.browser(), path)
			if response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(page, want) {
				t.Errorf("%s at %q: status %d:\n%s", path, where, response.StatusCode, page)
			}
			if response, body := away.do(away.browser(), http.MethodGet, path, nil, "application/json"); response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s as JSON: status %d: %s", path, response.StatusCode, body)
			}
		}
		if response, _ := away.get(away.browser(), "/documents?q=PLSDOC-log"); response.Header.Get("Location") != "/documents/pleasesign/onboarding/PLSDOC-log" {
			t.Errorf("a whole id leads to %q with status %d", response.Header.Get("Location"), response.StatusCode)
		}
	}
	if _, err := os.Stat("none.db"); err == nil {
		t.Error("the console made an index")
	}
}

// Amounts of money are exact: a text has parts, and each part the price of the number's country.
func TestInsightCountsMoney(t *testing.T) {
	t.Parallel()
	s := fill(t, "look")
	at := s.now.AddDate(0, 0, -2)
	number := uint64(0)
	put := func(source string, at time.Time, parts map[string]int) {
		for country, n := range parts {
			number++
			row := index.Row{Key: index.Key{Source: source, Provider: "pleasesign", ID: strconv.FormatUint(number, 10)}, Number: number, Sequence: number, State: "waiting", SentAt: at,
				People: []index.Person{{SentAt: at, Parts: n, Country: country}}, Body: []byte("{}")}
			if err := s.index.Apply(t.Context(), index.Batch{Rows: []index.Row{row}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	put("legal", at, map[string]int{"AU": 3, "DE": 2, "NZ": 1, "": 0})
	put("legal", at.AddDate(0, 0, -7), map[string]int{"AU": 10})
	put("onboarding", at, map[string]int{"DE": 7})
	consolesettings.PricesSection.In(&s.Env.Config).Currency = "EUR"
	consolesettings.PricesSection.In(&s.Env.Config).Texts = []string{"AU=0.0450", "DE=0.07"}
	priced := s.restart()
	_, body := priced.do(priced.browser(), http.MethodGet, "/insight?weeks=4", nil, "application/json")
	var data struct {
		Weeks []struct {
			Source, Week string
			Parts        int `json:"text_parts"`
			Cost         struct {
				Currency, Amount string
				Unpriced         int
			} `json:"text_cost"`
		}
	}
	if err := json.Unmarshal([]byte(body), &data); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, w := range data.Weeks {
		got[w.Source+" "+w.Week] = fmt.Sprint(w.Parts, " ", w.Cost.Amount, " ", w.Cost.Currency, " ", w.Cost.Unpriced)
	}
	want := map[string]string{"legal 2026-W48": "6 0.2750 EUR 1", "legal 2026-W47": "10 0.4500 EUR 0", "onboarding 2026-W48": "7 0.4900 EUR 0"}
	if !maps.Equal(got, want) {
		t.Errorf("the costs are %v, want %v", got, want)
	}
	if _, page := priced.get(priced.browser(), "/insight?weeks=4"); !strings.Contains(page, "1.215 EUR and 1 part without a price") {
		t.Errorf("the page lacks the sum:\n%s", page)
	}
	_, body = priced.get(priced.browser(), "/insight?weeks=4&format=csv")
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(body, "\ufeff"))).ReadAll()
	if err != nil || len(rows) != 4 {
		t.Fatalf("%v: %s", err, body)
	}
	if column := slices.Index(rows[0], "text cost"); !slices.ContainsFunc(rows, func(row []string) bool {
		return slices.Equal(row[column-1:column+3], []string{"6", "0.2750", "EUR", "1"})
	}) {
		t.Errorf("the CSV file lacks a week's cost:\n%s", body)
	}
	_, body = s.do(s.browser(), http.MethodGet, "/insight?weeks=4", nil, "application/json")
	if !strings.Contains(body, `"text_cost":{"parts":6,"unpriced":6}`) {
		t.Errorf("without prices: %s", body)
	}
}

func TestInsightCountsWeeks(t *testing.T) {
	t.Parallel()
	s := fill(t, "look")
	if _, page := s.get(s.browser(), "/insight"); !strings.Contains(page, "<h1>No one was sent a document in the last 8 weeks</h1>") {
		t.Errorf("without documents:\n%s", page)
	}
	s.three()
	_, body := s.do(s.browser(), http.MethodGet, "/insight?weeks=4&source=legal", nil, "application/json")
	var data struct {
		Finding string
		Weeks   []struct {
			Week                            string
			Sent, Delivered, Opened, Signed int
			TextParts                       int            `json:"text_parts"`
			MedianHours                     float64        `json:"median_hours"`
			Kinds                           map[string]int `json:"last_message_before_signature"`
			Channels                        map[string]int `json:"last_channel_before_signature"`
		}
	}
	if err := json.Unmarshal([]byte(body), &data); err != nil || len(data.Weeks) != 1 {
		t.Fatalf("%v: %s", err, body)
	}
	w := data.Weeks[0]
	if w.Week != "2026-W47" || w.Sent != 1 || w.Delivered != 1 || w.Opened != 1 || w.Signed != 1 || w.TextParts != 2 || w.Kinds["invitation"] != 1 || w.Channels["sms"] != 1 || w.MedianHours <= 0 ||
		!strings.HasPrefix(data.Finding, "1 person of 1 signed of legal, half of them within") {
		t.Errorf("%s", body)
	}
	_, body = s.get(s.browser(), "/insight?format=csv")
	if rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(body, "\ufeff"))).ReadAll(); err != nil || len(rows) != 4 {
		t.Errorf("%v: %s", err, body)
	}
	for _, query := range []string{"weeks=0", "weeks=x", "weeks=1000", "week=1"} {
		if response, _ := s.get(s.browser(), "/insight?"+query); response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: status %d", query, response.StatusCode)
		}
	}
}

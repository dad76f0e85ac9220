package console_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/operate"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
)

// act opens the plan of a document's action, starts it with its form, and returns the address to which the console sends the browser.
func (b *bench) act(path, do string, more url.Values) string {
	b.t.Helper()
	c := b.browser()
	_, page := b.get(c, path+"?do="+do)
	effect := regexp.MustCompile(`name="effect" value="([^"]+)"`).FindStringSubmatch(page)
	if effect == nil {
		b.t.Fatalf("%s has no plan:\n%s", do, page)
	}
	form := url.Values{"token": {b.token(page)}, "effect": {effect[1]}, "why": {"TICKET-7"}}
	for key, values := range more {
		form[key] = values
	}
	response, page := b.do(c, http.MethodPost, path+"?do="+do, form, "text/html")
	if response.StatusCode != http.StatusSeeOther {
		b.t.Fatalf("%s: status %d:\n%s", do, response.StatusCode, page)
	}
	return response.Header.Get("Location")
}

// keys returns the keys of JOBS that begin with a prefix.
func (b *bench) keys(prefix string) (all []string) {
	b.t.Helper()
	bucket, err := b.Env.JS.KeyValue(b.t.Context(), flow.Jobs)
	if err != nil {
		b.t.Fatal(err)
	}
	lister, err := bucket.ListKeysFiltered(b.t.Context(), prefix+">")
	if err != nil {
		b.t.Fatal(err)
	}
	for key := range lister.Keys() {
		all = append(all, key)
	}
	return all
}

// An erasure that is started at the console runs to its end in the keeper. It also removes the repaired content of a paused job about the document.
// That job then ends as failed, and says why.
func TestErasureJob(t *testing.T) {
	t.Parallel()
	b := roles(t, "private", "operate", "erase")
	b.story("DocToErase")
	sent := b.tell("DocToErase", event.DocumentFilled, func(*signingv1.SigningEvent) {})
	b.bury(sent)
	var list struct{ Items []struct{ Key string } }
	b.json("/stuck?what=dead", &list)
	item := "/stuck/" + list.Items[0].Key
	_, page := b.get(b.browser(), item)
	body := regexp.MustCompile(`(?s)<textarea[^>]*>(.*?)</textarea>`).FindStringSubmatch(page)
	if body == nil {
		t.Fatalf("no content:\n%s", page)
	}
	repaired := strings.Replace(strings.ReplaceAll(strings.ReplaceAll(body[1], "&#34;", `"`), "&quot;", `"`), "{", `{"providerType":"repaired",`, 1)
	repaired = regexp.MustCompile(`"providerType":\s*"document.created",\n`).ReplaceAllString(repaired, "")
	var plan planJSON
	if status, answer := b.post(item, formToken(b), url.Values{"body": {repaired}}, &plan); status != http.StatusOK || plan.Items != 1 {
		t.Fatalf("repair: status %d: %s", status, answer)
	}
	var job struct{ ID, State string }
	b.post("/stuck?do=repair", plan.FormToken, url.Values{"plan": {plan.Token}, "why": {"TICKET-6"}}, &job)
	b.post("/jobs/"+job.ID+"?do=pause", plan.FormToken, url.Values{}, &job)
	if job.State != "paused" || len(b.keys("work.")) != 1 {
		t.Fatalf("the repair is %s, and JOBS has %v", job.State, b.keys("work."))
	}

	at := b.act(pathOf("DocToErase"), "erase", url.Values{"sure": {"rase"}})
	keeper := &operate.Operator{JS: b.Env.JS, Now: b.Env.Now, Eraser: func(context.Context) (*erase.Eraser, func(), error) {
		return &erase.Eraser{JS: b.Env.JS, Ring: keyring.New(nil)}, func() {}, nil
	}}
	if err := (operate.Runner{Operator: keeper, Actions: operate.KeeperActions}).RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, page := b.get(b.browser(), "/jobs"); !strings.Contains(page, "Erase of 1 document") || strings.Contains(page, "DocToErase") {
		t.Errorf("the jobs:\n%s", page)
	}
	if response, _ := b.get(b.browser(), at); response.StatusCode != http.StatusOK {
		t.Errorf("the erased document: status %d", response.StatusCode)
	}
	if left := append(b.keys("work."), b.keys("plan.")...); len(left) != 0 {
		t.Errorf("JOBS still has %v", left)
	}
	for _, stream := range []string{flow.Signing, flow.DLQ, "KV_" + flow.Jobs} {
		for m, err := range (event.Log{JS: b.Env.JS, Stream: stream}).Messages(t.Context(), ">", time.Time{}) {
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(m.Subject+string(m.Data), "DocToErase") {
				t.Errorf("%s has the document on %s", stream, m.Subject)
			}
		}
	}
	if n := b.Count(flow.Signing, event.TypeFilter(event.DocumentErased)); n != 1 {
		t.Errorf("%d erasures are in the log", n)
	}
	// The paused repair has nothing to do any more.
	b.post("/jobs/"+job.ID+"?do=resume", plan.FormToken, url.Values{}, &job)
	b.run(1)
	if _, page := b.get(b.browser(), "/jobs/"+job.ID); !strings.Contains(page, "failed") || !strings.Contains(page, "An erasure removed what the job had to do.") {
		t.Errorf("the job of the repair:\n%s", page)
	}
}

// The files of a completed document are archived again.
func TestArchiveJob(t *testing.T) {
	t.Parallel()
	b := openWith(t, []string{"operate"}, func(c *config.Config) { archivesettings.Section.In(c).URL = "file://" + t.TempDir() })
	b.tell("D1", event.DocumentSent, func(*signingv1.SigningEvent) {})
	b.tell("D1", event.DocumentCompleted, func(*signingv1.SigningEvent) {})
	at := b.act(pathOf("D1"), "archive", nil)
	b.run(1)
	if _, page := b.get(b.browser(), at); !strings.Contains(page, "Done:</b> archive, 1 of 1 done") {
		t.Errorf("the job:\n%s", page)
	}
	if n := b.Count(flow.Replay, "replay.v1.archiver.>"); n != 1 {
		t.Errorf("the archiver gets the document %d times", n)
	}
}

// A message that is over a limit is released by itself, and the log says who released it.
func TestReleaseJob(t *testing.T) {
	t.Parallel()
	b := open(t, readersWith("operate"))
	bucket, err := b.Env.JS.KeyValue(t.Context(), flow.Attempts)
	if err != nil {
		t.Fatal(err)
	}
	hold := func(id, limits string) {
		record, err := json.Marshal(map[string]any{"held": map[string]any{
			"since": time.Now().Add(-time.Hour), "reason": "country-not-allowed", "fault": "operator", "channel": "sms", "notification_id": id, "source": "onboarding", "provider": "pleasesign",
			"document": "D1", "kind": "invitation", "country": "GB", "limits": limits, "input": "in-" + id, "person": "r-1",
		}})
		if err == nil {
			_, err = bucket.Put(t.Context(), "message.sms."+id, record)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	hold("over1", "limits")
	hold("over2", "limits")
	hold("account", "")
	var plan planJSON
	b.json("/stuck?what=held&document=D1&do=release&which=match", &plan)
	if plan.Items != 2 || plan.Summary != "2 texts to 1 person leave." {
		t.Fatalf("the plan: %+v", plan)
	}
	var job struct{ ID, State, Result string }
	if status, body := b.post("/stuck?do=release", plan.FormToken, url.Values{"plan": {plan.Token}, "why": {"TICKET-8"}}, &job); status != http.StatusOK {
		t.Fatalf("start: status %d: %s", status, body)
	}
	b.run(1)
	if b.json("/jobs/"+job.ID, &job); job.State != "done" || job.Result != "2 released" {
		t.Errorf("%+v", job)
	}
	for id, released := range map[string]bool{"over1": true, "over2": true, "account": false} {
		entry, err := bucket.Get(t.Context(), "message.sms."+id)
		if err != nil || strings.Contains(string(entry.Value()), `"released":"in-`+id+`"`) != released || strings.Contains(string(entry.Value()), `"held"`) == released {
			t.Errorf("%s: %v, %v", id, entry, err)
		}
	}
	by := 0
	for m, err := range (event.Log{JS: b.Env.JS, Stream: flow.Signing}).Messages(t.Context(), event.TypeFilter(event.OperatorActed), time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e, err := event.Decode(m.Data); err == nil && e.GetSource() == "onboarding" && e.GetAttributes()["action"] == "release" && e.GetAttributes()["reason"] == "TICKET-8" {
			by++
		}
	}
	if by != 2 {
		t.Errorf("the log names %d releases", by)
	}
}

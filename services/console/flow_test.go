package console_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// A request for messages by a filter with "*" makes NATS visit every subject of the log, or every block, and it answers nothing else on the console's
// connection until it is done: seconds at 10^7 events.
func TestNoViewSearchesTheLog(t *testing.T) {
	t.Parallel()
	b := roles(t, "operate", "private", "erase")
	id := "596f858584281715b6e6b3a5"
	b.story(id)
	b.remind(id, second)
	asked := make(chan *nats.Msg, 10_000)
	conn, _ := b.Broker.Connect()
	watch, err := conn.ChanSubscribe("$JS.API.DIRECT.GET.*", asked)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	pages := []string{"/", "/documents", "/stuck", "/sources", "/subscribers", "/insight", pathOf(id)}
	for _, do := range []string{"resend&to=" + second.GetId() + "&channel=email", "cancel-reminders", "hold", "erase"} {
		pages = append(pages, pathOf(id)+"?do="+do)
	}
	for _, page := range pages {
		if response, body := b.get(b.browser(), page); response.StatusCode == http.StatusInternalServerError {
			t.Errorf("%s: status %d\n%s", page, response.StatusCode, body)
		}
	}
	if err := watch.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	close(asked)
	exact := 0
	for m := range asked {
		stream := strings.TrimPrefix(m.Subject, "$JS.API.DIRECT.GET.")
		if !slices.Contains([]string{flow.Signing, flow.Remind, flow.LaterSMS, flow.LaterEmail}, stream) {
			continue // it is small
		}
		var request struct {
			Next string   `json:"next_by_subj"`
			Last []string `json:"multi_last"`
		}
		if err := json.Unmarshal(m.Data, &request); err != nil {
			t.Fatal(err)
		}
		switch wild := strings.ContainsAny(request.Next+strings.Join(request.Last, ""), "*>"); {
		case wild && request.Next != ">": // the server knows the first message after a sequence without a search
			t.Errorf("a view asked %s for %s", stream, m.Data)
		case !wild:
			exact++
		}
	}
	if exact == 0 {
		t.Error("no view read the log")
	}
}

// oldest returns since when each stage's oldest input waits.
func (b *bench) oldest() map[string]time.Time {
	b.t.Helper()
	var data struct {
		Cols  [][]stageJSON `json:"main_stages"`
		Other []stageJSON   `json:"other_stages"`
	}
	_, body := b.do(b.browser(), http.MethodGet, "/", nil, "application/json")
	if err := json.Unmarshal([]byte(body), &data); err != nil {
		b.t.Fatal(err)
	}
	all := map[string]time.Time{}
	for _, column := range append(data.Cols, data.Other) {
		for _, stage := range column {
			all[stage.Name] = stage.Oldest
		}
	}
	return all
}

type stageJSON struct {
	Name   string    `json:"name"`
	Oldest time.Time `json:"oldest_waiting"`
}

func TestFlowSaysSinceWhenAStageWaits(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	stored := func(typ string) time.Time {
		m, err := event.Message(t.Context(), &signingv1.SigningEvent{Source: "onboarding", Provider: "pleasesign", Type: typ, Id: rand.Text(), Document: &signingv1.Document{Id: "d"}})
		if err != nil {
			t.Fatal(err)
		}
		ack, err := b.Env.JS.PublishMsg(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := b.Env.JS.Stream(t.Context(), flow.Signing)
		if err != nil {
			t.Fatal(err)
		}
		is, err := stream.GetMsg(t.Context(), ack.Sequence)
		if err != nil {
			t.Fatal(err)
		}
		return is.Time.UTC()
	}
	other := stored(event.EndpointTested)
	for range 70 { // more than are read
		stored(event.LinkFetched)
	}
	completed := stored(event.DocumentCompleted)
	got := b.oldest()
	if !got[flow.Indexer].Equal(other) {
		t.Errorf("the indexer's oldest input is of %v, want %v", got[flow.Indexer], other)
	}
	if at := got[flow.Archiver]; at.Before(other) || !at.Before(completed) {
		t.Errorf("the archiver's oldest input is at the earliest of %v, want between %v and %v", at, other, completed)
	}
	if at := got[flow.ReminderDue]; !at.IsZero() {
		t.Errorf("a stage without work waits since %v", at)
	}
}

// A replica counts while it says that it works. Its end is known at once, and that of a killed one after a minute.
func TestFlowCountsReplicas(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	replicas := func() map[string]int {
		var data struct {
			Main [][]struct {
				Name     string
				Replicas *int
			} `json:"main_stages"`
		}
		_, body := b.do(b.browser(), http.MethodGet, "/", nil, "application/json")
		if err := json.Unmarshal([]byte(body), &data); err != nil {
			t.Fatal(err)
		}
		all := map[string]int{}
		for _, column := range data.Main {
			for _, stage := range column {
				if stage.Replicas != nil {
					all[stage.Name] = *stage.Replicas
				}
			}
		}
		return all
	}
	for id, services := range map[string][]string{"one": {flow.Enricher}, "two": {flow.Enricher}, "run": {flow.Enricher, flow.SMSSender}} {
		if err := flow.Present(t.Context(), b.Env.JS, services[0], id, services...); err != nil {
			t.Fatal(err)
		}
	}
	b = b.restart()
	if got := replicas(); got[flow.Enricher] != 3 || got[flow.SMSSender] != 1 || got[flow.EmailSender] != 0 {
		t.Errorf("the replicas are %v", got)
	}
	if err := flow.Absent(t.Context(), b.Env.JS, flow.Enricher, "two"); err != nil {
		t.Fatal(err)
	}
	b = b.restart()
	if got := replicas(); got[flow.Enricher] != 2 {
		t.Errorf("after the end of one: %v", got)
	}
	if _, page := b.get(b.browser(), "/"); !strings.Contains(page, "<dt>Replicas</dt><dd>2</dd>") {
		t.Errorf("the page does not say it:\n%s", page)
	}
	if err := b.Env.JS.DeleteStream(t.Context(), "KV_"+flow.Replicas); err != nil {
		t.Fatal(err)
	}
	b = b.restart()
	if got := replicas(); len(got) != 0 {
		t.Errorf("without the bucket: %v", got)
	}
}

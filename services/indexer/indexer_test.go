package indexer_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/index"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/indexer"
	indexsettings "github.com/signrelay/signrelay/services/indexer/settings"
)

// world is a log, and an index.
type world struct {
	*servicetest.Bench
	t     *testing.T
	dir   string
	url   string
	index *index.Index
	at    time.Time
}

func setup(t *testing.T, url string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), at: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)}
	if w.url = url; url == "" {
		w.url = "sqlite://" + w.dir + "/index.db"
	}
	cfg := config.Default()
	indexsettings.Section.In(&cfg).URL = w.url
	w.Bench = servicetest.New(t, cfg)
	w.index = w.open()
	return w
}

func (w *world) open() *index.Index {
	w.t.Helper()
	i, err := index.Open(w.t.Context(), w.url)
	w.must(err)
	w.t.Cleanup(func() { _ = i.Close() })
	return i
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v\nlog:\n%s", err, w.Logged)
	}
}

// store stores an event about a person of a document.
func (w *world) store(typ, document string, change ...func(*signingv1.SigningEvent)) {
	w.t.Helper()
	w.at = w.at.Add(time.Second)
	e := &signingv1.SigningEvent{
		Source: "acme", Provider: "clickwrap", Type: typ, OccurredAt: timestamppb.New(w.at), ReceivedAt: timestamppb.New(w.at),
		Verification: signingv1.Verification_VERIFICATION_HMAC, Document: &signingv1.Document{Id: document},
	}
	for _, c := range change {
		c(e)
	}
	e.Id = event.OccurrenceID(e, document, w.at.String())
	w.Publish(event.Message(w.t.Context(), e))
}

func titled(title string) func(*signingv1.SigningEvent) {
	return func(e *signingv1.SigningEvent) { e.Document.Title = title }
}

func person(id, first, email, mobile string) func(*signingv1.SigningEvent) {
	return func(e *signingv1.SigningEvent) {
		e.Recipient = &signingv1.Recipient{Id: id, FirstName: first, Email: email, Mobile: mobile}
	}
}

func (w *world) story(document, title string) {
	w.t.Helper()
	w.store(event.DocumentSent, document, titled(title))
	w.store(event.RecipientSent, document, person("p1", "Jack"+document, "jack."+document+"@acme.example", "+61412345678"))
	w.store(event.RecipientSent, document, person("p2", "Olivia", "olivia@"+document+".example", ""))
	w.store(event.RecipientOpened, document, person("p1", "", "", ""))
	w.store(event.RecipientSigned, document, person("p1", "", "", ""))
}

func (w *world) find(text string) string {
	w.t.Helper()
	p, err := w.index.Search(w.t.Context(), index.Query{Text: text})
	w.must(err)
	var all []string
	for _, r := range p.Rows {
		all = append(all, r.ID)
	}
	return strings.Join(all, " ")
}

func (w *world) expect(found map[string]string) {
	w.t.Helper()
	for text, want := range found {
		if got := w.find(text); got != want {
			w.t.Errorf("%q finds %q, want %q", text, got, want)
		}
	}
}

func databases(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); test(t, "") })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); test(t, realtest.Postgres(t)) })
}

func TestEventsBecomeSearchableDocuments(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, url string) {
		w := setup(t, url)
		w.story("doc1", "Lease of the Müller house")
		w.Start(indexer.Run)
		w.story("doc2", "Second title")
		w.store(event.EndpointTested, "") // it concerns no document
		w.Settled(flow.Indexer)
		w.expect(map[string]string{"": "doc2 doc1", "muller": "doc1", "jackdoc2": "doc2", "livia": "doc2 doc1", "0412 345": "doc2 doc1", "doc1.example": "doc1"})
		got, err := w.index.Get(t.Context(), index.Key{Source: "acme", Provider: "clickwrap", ID: "doc1"})
		w.must(err)
		if got.State != "waiting" || got.People != 2 || got.Signed != 1 || got.Number != 1 || got.Sequence != 5 {
			t.Errorf("%+v", got)
		}
		at, err := w.index.Position(t.Context())
		w.must(err)
		lag, err := indexer.Behind(t.Context(), event.Log{JS: w.Env.JS, Stream: flow.Signing}, at, time.Now())
		if err != nil || lag.Events != 0 || lag.Last != 11 {
			t.Errorf("%+v, %v", lag, err)
		}
	})
}

// TestCorrectedPeopleAreFound by what they were called before and after a correction, also after a rebuild. An erasure of the person at the address before
// leaves the corrected one.
func TestCorrectedPeopleAreFound(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, url string) {
		w := setup(t, url)
		w.Start(indexer.Run)
		w.store(event.DocumentSent, "doc1", titled("Lease"))
		w.store(event.RecipientSent, "doc1", person("p1", "Jayne", "jayne@acme.example", "+61412345678"))
		w.store(event.RecipientCorrected, "doc1", person("p9", "Janet", "janet@acme.example", "+61491570313"), func(e *signingv1.SigningEvent) {
			e.Verification = signingv1.Verification_VERIFICATION_INTERNAL
			e.Attributes = map[string]string{event.AttributeScope: event.AtProvider, event.AttributePrevious: "p1"}
		})
		w.store(event.RecipientSigned, "doc1", person("p9", "", "", ""))
		w.Settled(flow.Indexer)
		all := map[string]string{"jayne": "doc1", "jayne@acme": "doc1", "0412345678": "doc1", "janet": "doc1", "janet@acme": "doc1", "0491570313": "doc1"}
		w.expect(all)
		key := index.Key{Source: "acme", Provider: "clickwrap", ID: "doc1"}
		live, err := w.index.Get(t.Context(), key)
		w.must(err)
		w.must(indexer.Rebuild(t.Context(), w.Env.JS, w.open(), func(indexer.Progress) {}))
		w.expect(all)
		built, err := w.index.Get(t.Context(), key)
		w.must(err)
		if live.People != 1 || built.People != 1 || live.Signed != 1 || string(live.Body) != string(built.Body) {
			t.Errorf("live %s\nbuilt %s", live.Body, built.Body)
		}
		who, err := erase.ParsePerson("jayne@acme.example")
		w.must(err)
		w.erase(erase.Target{Person: who})
		w.Settled(flow.Indexer)
		w.expect(map[string]string{"jayne": "", "0412345678": "", "janet": "doc1", "0491570313": "doc1"})
	})
}

// TestARestartFoldsTheRest: another process continues where the first one stopped, with documents that it reads from the index.
func TestARestartFoldsTheRest(t *testing.T) {
	t.Parallel()
	w := setup(t, "")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	env := w.Env
	env.Up = func() {}
	w.story("doc1", "First")
	go func() { ended <- indexer.Run(ctx, env) }()
	w.Settled(flow.Indexer)
	stop()
	w.must(<-ended)
	w.store(event.RecipientSigned, "doc1", person("p2", "", "", ""))
	w.store(event.DocumentCompleted, "doc1")
	w.Env.Metrics, w.Env.Health = prometheus.NewRegistry(), new(service.Health) // of another process
	w.Start(indexer.Run)
	w.Settled(flow.Indexer)
	got, err := w.index.Get(t.Context(), index.Key{Source: "acme", Provider: "clickwrap", ID: "doc1"})
	w.must(err)
	if got.State != "completed" || got.Signed != 2 || got.Number != 1 {
		t.Errorf("%+v", got)
	}
	w.expect(map[string]string{"jackdoc1": "doc1"})
}

// TestAReplicaThatWasLeftBehindReadsTheIndexAgain: another replica has folded in an event that this one does not know.
func TestAReplicaThatWasLeftBehindReadsTheIndexAgain(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, url string) {
		w := setup(t, url)
		w.Start(indexer.Run)
		w.story("doc1", "First")
		w.Settled(flow.Indexer)
		key := index.Key{Source: "acme", Provider: "clickwrap", ID: "doc1"}
		found, err := w.index.Get(t.Context(), key)
		w.must(err)
		d, err := index.DocumentOf(found)
		w.must(err)
		d.Title, d.Sequence = "Changed elsewhere", d.Sequence+1
		row, err := index.RowOf(d, found.Number)
		w.must(err)
		w.must(w.index.Apply(t.Context(), index.Batch{Position: index.Position{Sequence: d.Sequence, At: time.Now()}, Rows: []index.Row{row}}))
		w.store(event.EndpointTested, "") // the event that the other replica has folded in
		w.store(event.RecipientSigned, "doc1", person("p2", "", "", ""))
		w.Settled(flow.Indexer)
		got, err := w.index.Get(t.Context(), key)
		w.must(err)
		if got.Signed != 2 || w.find("elsewhere") != "doc1" {
			t.Errorf("%d have signed, and the other replica's title finds %q", got.Signed, w.find("elsewhere"))
		}
	})
}

// TestAnIndexAheadOfTheLogIsReported: NATS was restored from an older backup. A rebuild makes the index right.
func TestAnIndexAheadOfTheLogIsReported(t *testing.T) {
	t.Parallel()
	w := setup(t, "")
	w.must(w.index.Apply(t.Context(), index.Batch{Position: index.Position{Sequence: 1000, At: time.Now()}}))
	w.story("doc1", "First")
	w.Start(indexer.Run)
	for look := time.NewTicker(10 * time.Millisecond); !strings.Contains(w.Logged.String(), "signrelay index rebuild"); {
		select {
		case <-look.C:
		case <-time.After(time.Minute):
			t.Fatalf("the failure is not logged:\n%s", w.Logged)
		}
	}
	w.must(indexer.Rebuild(t.Context(), w.Env.JS, w.open(), func(indexer.Progress) {}))
	w.expect(map[string]string{"first": "doc1"})
	w.story("doc2", "Second")
	w.Settled(flow.Indexer)
	w.expect(map[string]string{"": "doc2 doc1"})
}

func (w *world) eraser() *erase.Eraser {
	return &erase.Eraser{JS: w.Env.JS, Ring: keyring.New([]string{"the master key of the test, which is long enough"}), Known: time.Millisecond, Log: w.Env.Log}
}

// files returns the names of the index's files that contain a text.
func (w *world) files(text string) (all []string) {
	w.t.Helper()
	left, err := erase.SearchFiles(w.t.Context(), w.dir, text)
	w.must(err)
	for _, l := range left {
		all = append(all, l.Path)
	}
	return all
}

// TestAnErasedDocumentLeavesNoBytes: neither its id nor the names of its people are in the files, and other documents stay.
func TestAnErasedDocumentLeavesNoBytes(t *testing.T) {
	t.Parallel()
	w := setup(t, "")
	w.Start(indexer.Run)
	w.story("stays", "Another title")
	w.story("gone-document", "Secretive title")
	w.Settled(flow.Indexer)
	for _, text := range []string{"gone-document", "secretive", "jackgone"} {
		if len(w.files(text)) == 0 {
			t.Fatalf("%q is not in the files before the erasure: the search proves nothing", text)
		}
	}
	target := erase.Target{IDs: []string{"gone-document"}}
	w.erase(target)
	w.Settled(flow.Indexer)
	w.expect(map[string]string{"": "stays", "secretive": "", "gone": "", "another": "stays", "olivia": "stays"})
	for _, text := range []string{"gone-document", "secretive", "jackgone"} {
		if left := w.files(text); len(left) > 0 {
			t.Errorf("%q is still in %v", text, left)
		}
	}
}

func (w *world) erase(target erase.Target) {
	w.t.Helper()
	e := w.eraser()
	found, err := e.Find(w.t.Context(), target)
	w.must(err)
	_, err = e.Run(w.t.Context(), target, found, erase.Order{By: "test", Reason: "a request"}, time.Now())
	w.must(err)
}

// TestAnErasedPersonIsFoldedAway: the document stays without the person.
func TestAnErasedPersonIsFoldedAway(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, url string) {
		w := setup(t, url)
		w.Start(indexer.Run)
		w.story("doc1", "Lease")
		w.Settled(flow.Indexer)
		who, err := erase.ParsePerson("jack.doc1@acme.example")
		w.must(err)
		w.erase(erase.Target{Person: who})
		w.Settled(flow.Indexer)
		w.expect(map[string]string{"lease": "doc1", "olivia": "doc1", "jackdoc1": "", "jack.doc1@": ""})
		if url == "" {
			for _, text := range []string{"jackdoc1", "jack.doc1@acme.example"} {
				if left := w.files(text); len(left) > 0 {
					t.Errorf("%q is still in %v", text, left)
				}
			}
		}
	})
}

// TestARebuildWhileEventsArrive has the same documents as the index before and after, without the damage.
func TestARebuildWhileEventsArrive(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, url string) {
		w := setup(t, url)
		w.Start(indexer.Run)
		for n := range 30 {
			w.story(fmt.Sprint("doc", n), fmt.Sprint("title", n))
		}
		w.Settled(flow.Indexer)
		before := w.find("")
		// Damage: a document is lost, and one is invented.
		w.must(w.index.Remove(t.Context(), index.Key{Source: "acme", Provider: "clickwrap", ID: "doc3"}))
		view := index.View{Owner: "eva", Name: "mine", Query: index.Query{Text: "lease"}}
		w.must(w.index.SaveView(t.Context(), view))
		steps := map[string]int{}
		once := false
		w.must(indexer.Rebuild(t.Context(), w.Env.JS, w.open(), func(p indexer.Progress) {
			steps[p.Step]++
			if p.Step == indexer.StepWords && !once { // events while the terms are written
				once = true
				w.story("late", "a late title")
			}
		}))
		w.Settled(flow.Indexer)
		if got := w.find(""); got != "late "+before {
			t.Errorf("%q, want late and %q", got, before)
		}
		w.expect(map[string]string{"a late": "late", "title7": "doc7", "jackdoc3": "doc3", "0412345678": "late " + before})
		w.store(event.DocumentCompleted, "doc7")
		w.story("after", "later still")
		w.Settled(flow.Indexer)
		w.expect(map[string]string{"later": "after", "jackafter": "after"})
		if got, err := w.index.Get(t.Context(), index.Key{Source: "acme", Provider: "clickwrap", ID: "doc7"}); err != nil || got.State != "completed" {
			t.Errorf("%+v, %v", got, err)
		}
		if views, err := w.index.Views(t.Context(), "eva"); err != nil || len(views) != 1 {
			t.Errorf("the saved views: %v, %v", views, err)
		}
		if steps[indexer.StepEvents] == 0 || steps[indexer.StepWords] == 0 {
			t.Errorf("steps %v", steps)
		}
		if url == "" {
			files, err := os.ReadDir(w.dir)
			w.must(err)
			for _, f := range files {
				if strings.Contains(f.Name(), ".g1") {
					t.Errorf("the old index is still there: %s", f.Name())
				}
			}
		}
	})
}

// TestAStoppedRebuildChangesNothing, and the next one succeeds. A second one at the same time is refused.
func TestAStoppedRebuildChangesNothing(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, url string) {
		w := setup(t, url)
		w.Start(indexer.Run)
		w.story("doc1", "title")
		w.Settled(flow.Indexer)
		ctx, stop := context.WithCancel(t.Context())
		err := indexer.Rebuild(ctx, w.Env.JS, w.open(), func(p indexer.Progress) {
			if p.Step == indexer.StepWords {
				if err := indexer.Rebuild(t.Context(), w.Env.JS, w.open(), func(indexer.Progress) {}); err == nil || !strings.Contains(err.Error(), "another rebuild") {
					t.Errorf("a second rebuild: %v", err)
				}
				stop()
			}
		})
		if err == nil {
			t.Fatal("the rebuild was not stopped")
		}
		w.expect(map[string]string{"": "doc1", "title": "doc1"})
		w.must(indexer.Rebuild(t.Context(), w.Env.JS, w.open(), func(indexer.Progress) {}))
		w.expect(map[string]string{"": "doc1", "title": "doc1"})
	})
}

package faults

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/index"
	"github.com/signrelay/signrelay/libs/realtest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// library is a log that grows, and its search index.
type library struct {
	*testenv.Env
	t      *testing.T
	url    string // of the index
	rounds int
}

// newLibrary returns an installation whose indexer is not started yet. An empty url is SQLite.
func newLibrary(t *testing.T, url string) *library {
	t.Helper()
	h := testenv.Infrastructure(t, testenv.SandboxSettings)
	if url == "" {
		url = "sqlite://" + filepath.ToSlash(filepath.Join(h.DataDir, "index", "index.db"))
	}
	h.Vars = append(h.Vars, "SIGNRELAY_INDEX_URL="+url)
	return &library{Env: h, t: t, url: url}
}

// documents is the number of documents that each round adds.
const documents = 10

// grow stores the events of more documents: first one event of each, then the next one of each, so that many are in progress at a time. The documents
// of the first round get one more event, so each process that works changes them.
func (l *library) grow() {
	l.t.Helper()
	for n, eventType := range []string{event.DocumentSent, event.RecipientSent, event.NotificationSent, event.RecipientSigned, event.DocumentCompleted} {
		for d := range documents {
			l.store(l.rounds*documents+d, n, eventType)
		}
	}
	for d := range documents {
		l.store(d, 5+l.rounds, event.RecipientOpened)
	}
	l.rounds++
}

// store stores the n-th event of a document.
func (l *library) store(number, n int, eventType string) {
	l.t.Helper()
	id := fmt.Sprintf("document-%04d", number)
	at := timestamppb.New(time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC).Add(time.Duration(number)*time.Minute + time.Duration(n)*time.Second))
	e := &signingv1.SigningEvent{
		Source: "demo", Provider: "clickwrap", Type: eventType, OccurredAt: at, ReceivedAt: at,
		Verification: signingv1.Verification_VERIFICATION_HMAC, Document: &signingv1.Document{Id: id, Title: "Contract " + strconv.Itoa(number)},
	}
	if event.Entity(eventType) != "document" {
		e.Recipient = &signingv1.Recipient{Id: "p1", FirstName: "Ann", LastName: "Lee" + strconv.Itoa(number)}
	}
	if eventType == event.NotificationSent {
		e.Notice = &signingv1.Notice{NotificationId: id, Kind: "invitation", Channel: "sms", Parts: 1}
	}
	e.Id = event.OccurrenceID(e, id, strconv.Itoa(n))
	m, err := event.Message(l.t.Context(), e)
	if err == nil {
		_, err = l.JetStream(l.t).PublishMsg(l.t.Context(), m)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// growUntil stores events until something has happened.
func (l *library) growUntil(what string, happened <-chan struct{}) {
	l.t.Helper()
	for end := time.Now().Add(l.Timeout); ; {
		select {
		case <-happened:
			return
		default:
		}
		if time.Now().After(end) {
			l.t.Fatalf("%s: not within %v", what, l.Timeout)
		}
		l.grow()
	}
}

// settled waits until the index has every event, and compares it with a new index that is built from the log.
func (l *library) settled() {
	l.t.Helper()
	_, last, err := event.Log{JS: l.JetStream(l.t), Stream: flow.Signing}.Bounds(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	var live *index.Index
	l.Until(l.t, "the index has every event", func() bool {
		if live == nil {
			if live, err = index.Open(l.t.Context(), l.url); err != nil { // the database may be starting
				live = nil
				return false
			}
		}
		at, err := live.Position(l.t.Context())
		return err == nil && at.Sequence >= last
	})
	defer func() { _ = live.Close() }()
	other := "sqlite://" + filepath.ToSlash(filepath.Join(l.t.TempDir(), "index.db"))
	if out, err := l.CommandWith(l.t, []string{"SIGNRELAY_INDEX_URL=" + other}, "index", "rebuild"); err != nil {
		l.t.Fatalf("%v\n%s", err, out)
	}
	fresh, err := index.Open(l.t.Context(), other)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = fresh.Close() }()
	for _, q := range []index.Query{{}, {Text: "contract"}, {Text: "ann"}, {State: "completed"}, {Source: "demo"}} {
		got, want := l.rows(live, q), l.rows(fresh, q)
		if len(want) != l.rounds*documents {
			l.t.Fatalf("%+v: a new index has %d documents, want %d: the comparison proves nothing", q, len(want), l.rounds*documents)
		}
		if slices.Equal(got, want) {
			continue
		}
		l.t.Errorf("%+v: the index has %d documents, want %d", q, len(got), len(want))
		for _, row := range got {
			if !slices.Contains(want, row) {
				l.t.Errorf("lost or stale: %s", row)
				break
			}
		}
	}
}

// rows returns all documents that match, with their states.
func (l *library) rows(i *index.Index, q index.Query) (all []string) {
	l.t.Helper()
	for {
		p, err := i.Search(l.t.Context(), q)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, r := range p.Rows {
			all = append(all, fmt.Sprintf("%d %d %s %s", r.Number, r.Sequence, r.ID, r.Body))
			q.After = r.Number
		}
		if !p.Older {
			return all
		}
	}
}

// eachDatabase runs a row with SQLite and with PostgreSQL.
func eachDatabase(t *testing.T, row func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); row(t, "") })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); row(t, realtest.Postgres(t)) })
}

// The indexer dies in the middle of a transaction. Afterwards no document is lost or stale.
func TestTheIndexerDies(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, url string) {
		l := newLibrary(t, url)
		l.Variant = crashing
		l.grow()
		p := l.StartService(t, flow.Indexer, flow.Indexer, "SIGNRELAY_TEST_CRASH=indexing@4")
		l.growUntil("the indexer dies", p.Ended())
		l.grow()
		l.StartService(t, flow.Indexer, flow.Indexer)
		l.grow()
		l.settled()
	})
}

// A rebuild dies while it folds events, before it replaces the index, and after that, while the indexer works. The index in use stays right, and nothing
// is left of a stopped rebuild: an erasure would not reach it.
func TestARebuildDies(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, url string) {
		l := newLibrary(t, url)
		l.Variant = crashing
		l.grow()
		l.StartService(t, flow.Indexer, flow.Indexer)
		for _, point := range []string{"indexing@1", "indexing@2", "index built@1", "index swapped@1"} {
			p := l.LaunchCommand(t, []string{"SIGNRELAY_INDEX_URL=" + l.url, "SIGNRELAY_TEST_CRASH=" + point}, "index", "rebuild")
			l.growUntil("the rebuild dies at "+point, p.Ended())
			if !p.Killed() {
				t.Fatalf("the rebuild did not reach %s:\n%s", point, p.Output())
			}
			l.grow()
			l.settled()
			l.onlyOneGeneration(point)
		}
		if out, err := l.CommandWith(t, []string{"SIGNRELAY_INDEX_URL=" + l.url}, "index", "rebuild"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		l.grow()
		l.settled()
	})
}

// onlyOneGeneration requires that SQLite's folder has the files of one generation.
func (l *library) onlyOneGeneration(point string) {
	l.t.Helper()
	folder, is := strings.CutPrefix(l.url, "sqlite://")
	if !is {
		return
	}
	files, err := filepath.Glob(folder + ".g*")
	if err != nil {
		l.t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "-wal") || strings.HasSuffix(f, "-shm") })
	if len(files) != 1 {
		l.t.Errorf("after a rebuild died at %s: %v", point, files)
	}
}

// PostgreSQL dies three times while the indexer writes.
func TestPostgresDies(t *testing.T) {
	t.Parallel()
	server := realtest.NewPostgres(t)
	l := newLibrary(t, server.URL)
	l.StartService(t, flow.Indexer, flow.Indexer)
	for range 3 {
		l.grow()
		server.Kill()
		l.grow()
		server.Start()
		l.grow()
	}
	l.settled()
}

// Two indexers run at once. The one that works is stopped in the middle, the other one takes over; the first one then continues with what it has in
// memory. Afterwards the second one is killed.
func TestTwoIndexersAtOnce(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, url string) {
		l := newLibrary(t, url)
		l.grow()
		first := l.StartService(t, flow.Indexer, flow.Indexer)
		l.settled()
		second := l.StartReplica(t, flow.Indexer, 2)
		l.grow()
		_ = syscall.Kill(first.PID(), syscall.SIGSTOP)
		l.grow()
		l.settled() // by the second one
		_ = syscall.Kill(first.PID(), syscall.SIGCONT)
		l.grow()
		l.settled()
		second.Kill()
		l.grow()
		l.settled() // by the first one
	})
}

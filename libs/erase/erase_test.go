package erase_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/realtest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// world is an installation with messages about two documents in every place.
type world struct {
	t      *testing.T
	broker *realtest.Broker
	folder string
	js     jetstream.JetStream
	eraser *erase.Eraser
}

const (
	goneDocument = "GONE7f3a9c5512"
	keptDocument = "KEPT0b8d1e4421"
	goneEmail    = "gone.person@example.com"
	goneMobile   = "+61412345678"
	goneName     = "Gonatella Versigno"
	keptEmail    = "kept.person@example.com"
	keptName     = "Keptolina Remains"
)

var ring = keyring.New([]string{strings.Repeat("k", 32)})

func newWorld(t *testing.T) *world {
	t.Helper()
	folder := t.TempDir()
	broker := realtest.NATSWith(t, func(o *server.Options) { o.StoreDir = folder })
	_, js := broker.Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	return &world{t, broker, folder, js, &erase.Eraser{JS: js, Ring: ring}}
}

func (w *world) publish(m *nats.Msg, err error) {
	w.t.Helper()
	if err == nil {
		_, err = w.js.PublishMsg(w.t.Context(), m)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

type person struct{ id, first, last, email, mobile string }

var (
	gonePerson = person{"recipient-gone", "Gonatella", "Versigno", goneEmail, goneMobile}
	keptPerson = person{"recipient-kept", "Keptolina", "Remains", keptEmail, "+61498765432"}
)

func signing(document string, p person, typ string, n int) *signingv1.SigningEvent {
	e := &signingv1.SigningEvent{
		Source: "acme", Provider: "pleasesign", Type: typ, OccurredAt: timestamppb.New(time.Unix(int64(n), 0)), Verification: signingv1.Verification_VERIFICATION_HMAC,
		Document: &signingv1.Document{Id: document, Title: "Contract"}, Attributes: map[string]string{"n": strconv.Itoa(n)},
	}
	if p.id != "" {
		e.Recipient = &signingv1.Recipient{Id: p.id, FirstName: p.first, LastName: p.last, Email: p.email, Mobile: p.mobile}
	}
	e.Id = event.OccurrenceID(e, document, p.id, strconv.Itoa(n))
	return e
}

func notification(document string, p person, n int) *notifyv1.Notification {
	return &notifyv1.Notification{
		Id: fmt.Sprintf("notification%s%d", document, n), Source: "acme", Provider: "pleasesign", DocumentId: document, DocumentTitle: "Contract",
		Kind: notifyv1.Kind_KIND_INVITATION, Channel: event.SMS,
		To: &notifyv1.Person{RecipientId: p.id, FirstName: p.first, LastName: p.last, Email: p.email, Mobile: p.mobile},
	}
}

// fill writes messages about a document and a person into every place.
func (w *world) fill(document string, p person) {
	w.t.Helper()
	ctx := w.t.Context()
	for n, typ := range []string{event.DocumentSent, event.RecipientSent, event.RecipientSigned, event.NotificationSent} {
		e := signing(document, p, typ, n)
		if typ == event.DocumentSent {
			e.Recipient = nil
		}
		m, err := event.Message(ctx, e)
		w.publish(m, err)
	}
	n := notification(document, p, 1)
	data, err := proto.Marshal(n)
	if err != nil {
		w.t.Fatal(err)
	}
	message := func(subject string, id string) *nats.Msg {
		return &nats.Msg{Subject: subject, Header: nats.Header{"Nats-Msg-Id": {id}, "ce-id": {id}}, Data: data}
	}
	w.publish(message(flow.SendSubject("sms", "acme", "pleasesign", document), "input-"+document), nil)
	w.publish(message(flow.LinkSubject("acme", "pleasesign", document), "link-"+document), nil)
	for channel, at := range map[string]time.Duration{"sms": time.Hour, "email": 0} {
		m := message(flow.LaterSubject(channel, "acme", "pleasesign", document, "id-"+document), "later-"+channel+document)
		flow.Schedule(m, time.Now().Add(at), flow.DueLaterSubject(channel, "acme", "pleasesign", document, "id-"+document))
		w.publish(m, nil)
	}
	reminder := &nats.Msg{Subject: flow.ReminderSubject("acme", "pleasesign", document, p.id), Header: nats.Header{}, Data: []byte(`{"document":"` + document + `"}`)}
	flow.Schedule(reminder, time.Now().Add(time.Hour), flow.DueSubject("acme", "pleasesign", document, p.id))
	w.publish(reminder, nil)
	waiting := &nats.Msg{Subject: flow.ArchiveSubject("acme", "pleasesign", document, "id-"+document), Header: nats.Header{}, Data: []byte(`{"document":"` + document + `"}`)}
	flow.Schedule(waiting, time.Now().Add(time.Hour), flow.DueArchiveSubject("acme", "pleasesign", document, "id-"+document))
	w.publish(waiting, nil)
	w.publish(&nats.Msg{
		Subject: flow.QuarantineSubject("acme", "pleasesign", "unreadable"), Header: nats.Header{"Signrelay-Header": {"{}"}},
		Data: []byte(`{"document_id":"` + document + `","email":"` + p.email + `","mobile":"` + p.mobile + `","name":"` + p.first + " " + p.last + `"`),
	}, nil)
	dead := message("", "")
	dead.Header = nats.Header{
		"Signrelay-Dlq-Subject": {flow.SendSubject("sms", "acme", "pleasesign", document)}, "Signrelay-Dlq-Id": {"input-" + document}, "Signrelay-Dlq-Stage": {"sms-sender"},
		"Nats-Msg-Id": {"dlq-" + document},
	}
	dead.Subject = flow.StageNamed(flow.SMSSender).DeadSubject()
	w.publish(dead, nil)
	dead.Subject = flow.ReplaySubject("sms-sender.NOTIFY.1." + document[:4])
	w.publish(dead, nil)

	put := func(bucket, key, value string) {
		w.t.Helper()
		kv, err := w.js.KeyValue(ctx, bucket)
		if err == nil {
			_, err = kv.PutString(ctx, key, value)
		}
		if err != nil {
			w.t.Fatal(bucket, err)
		}
	}
	about := `"source":"acme","provider":"pleasesign","document":"` + document + `","recipient":"` + p.id + `"`
	for range 2 { // the first revision stays in the server's file
		put(flow.Texts, n.GetId(), "{"+about+"}")
		put(flow.Texts, "to."+ring.For("inbound").Names("to/" + strings.TrimPrefix(p.mobile, "+"))[0], "{"+about+"}")
		put(flow.Inbound, "text.hash-of-"+p.id, "{"+about+"}")
		put(flow.Attempts, "message.sms."+n.GetId(), `{"held":{`+about+`}}`)
		put(flow.Memory, "sms-sender.input-"+document, `1[{"s":"`+event.SubjectOf("acme", "pleasesign", event.NotificationSent, document)+`"}]`)
	}
	// A paused repair of a dead letter has its new content, and a job about a document has its id.
	put(flow.Jobs, "work.repair-"+keptOr(document), `{"plan":{"action":"repair"},"selection":{"keys":["dead.1"],"subject":"`+flow.SendSubject("sms", "acme", "pleasesign", document)+
		`","body":"`+base64.StdEncoding.EncodeToString(data)+`"}}`)
	put(flow.Jobs, "work.resend-"+keptOr(document), `{"plan":{"action":"resend"},"selection":{"document":{"source":"acme","provider":"pleasesign","id":"`+document+`"},"recipient":"`+p.id+`"}}`)
	// The new address of a correction that waits is in no event yet, and its person has another id.
	put(flow.Jobs, "work.correct-"+keptOr(document), `{"plan":{"action":"correct"},"selection":{"document":{"source":"acme","provider":"pleasesign","id":"`+document+
		`"},"recipient":"misspelled","details":{"FirstName":"`+p.first+`","LastName":"`+p.last+`","Email":"`+p.email+`","Mobile":"`+p.mobile+`"}}}`)
	put(flow.Jobs, "plan.filter-"+keptOr(document), `{"plan":{"action":"replay"},"selection":{"filter":{"document":"`+document+`"}}}`)
	put(flow.Jobs, "work.callback-"+keptOr(document), `{"plan":{"action":"repair-callback"},"selection":{"keys":["quarantined.1"],"subject":"`+flow.QuarantineSubject("acme", "pleasesign", "unreadable")+
		`","body":"`+base64.StdEncoding.EncodeToString([]byte(`{"document_id":"`+document+`","email":"`+p.email+`","mobile":"`+p.mobile+`"}`))+`"}}`)
	link := "link.mac-of-" + p.id
	put(flow.Links, link, string(ring.For("link-value").Seal([]byte("{"+about+`,"title":"Contract"}`), []byte(link))))
}

// keptOr names a document in a key, without its id.
func keptOr(document string) string {
	return map[bool]string{true: "kept", false: "gone"}[document == keptDocument]
}

// files returns the files of the stopped server that contain one of the texts.
func (w *world) files(texts ...string) []erase.Left {
	w.t.Helper()
	w.broker.Stop()
	defer func() {
		w.broker.Start()
		_, w.js = w.broker.Connect()
		w.eraser.JS = w.js
	}()
	for _, text := range slices.Clone(texts) { // repaired content is base64 in JSON, at any of three offsets
		for offset := range 3 {
			coded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("_", offset) + text))
			texts = append(texts, coded[2*offset:len(coded)-3])
		}
	}
	left, err := erase.SearchFiles(context.Background(), w.folder, texts...)
	if err != nil {
		w.t.Fatal(err)
	}
	return left
}

func (w *world) erase(target erase.Target) *erase.Found {
	w.t.Helper()
	found, err := w.eraser.Find(w.t.Context(), target)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.eraser.Run(w.t.Context(), target, found, erase.Order{By: "ops", Reason: "request 12"}, time.Now()); err != nil {
		w.t.Fatal(err)
	}
	return found
}

// After an erasure, no file of the server has a byte of the document: of its id, or of the people on it. The other document is unchanged.
func TestNothingOfADocumentIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(goneDocument, gonePerson)
	w.fill(keptDocument, keptPerson)
	gone := []string{goneDocument, goneEmail, goneMobile, "Gonatella", "Versigno", gonePerson.id}
	if left := w.files(gone...); len(left) < 10 {
		t.Fatalf("only %d files have the document before", len(left))
	}
	before := w.count()
	found := w.erase(erase.Target{IDs: []string{goneDocument}})
	for name := range before {
		if found.Messages[name] == 0 && name != "HOLD" && name != "KV_STATE" {
			t.Errorf("nothing was found in %s", name)
		}
	}
	if left := w.files(gone...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	for name, n := range w.count() {
		if name != "KV_ERASED" && name != "SIGNING" && n*2 != before[name] && name != "HOLD" {
			t.Errorf("%s: %d of %d messages", name, n, before[name])
		}
	}
	if again, err := w.eraser.Find(t.Context(), erase.Target{IDs: []string{goneDocument}}); err != nil || !again.Empty() {
		t.Errorf("found again: %v, %v", again.Messages, err)
	}
	reports := w.events(event.DocumentErased)
	if len(reports) != 1 || reports[0].GetDocument().GetId() != event.ErasedID("acme", "pleasesign", goneDocument) || reports[0].GetAttributes()["sequences"] != "1-4" {
		t.Errorf("reports: %v", reports)
	}
}

func (w *world) count() map[string]int {
	w.t.Helper()
	all := map[string]int{}
	for info := range w.js.ListStreams(w.t.Context()).Info() {
		if info.State.Msgs > 0 {
			all[info.Config.Name] = int(info.State.Msgs)
		}
	}
	return all
}

func (w *world) events(typ string) (all []*signingv1.SigningEvent) {
	w.t.Helper()
	for m, err := range (event.Log{JS: w.js, Stream: flow.Signing}).Messages(w.t.Context(), event.TypeFilter(typ), time.Time{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// Every stream and bucket of the map has a rule.
func TestEveryPlaceHasARule(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, p := range erase.Places() {
		if p.Rule == "" {
			t.Errorf("%s has no rule: add it to libs/erase/places.go", p.Name)
		}
		names[p.Name] = true
	}
	for _, s := range flow.Streams {
		if !names[s.Name] {
			t.Errorf("%s is missing", s.Name)
		}
	}
}

// A person disappears from a document that has other people: from all events that have the address, the id or the name. The other people and
// the document stay, and only the person's opt-out stays until it is to go, too.
func TestNothingOfAPersonIsLeft(t *testing.T) {
	t.Parallel()
	for address, with := range map[string][]string{
		goneEmail: {goneEmail, goneName, gonePerson.id}, goneMobile: {goneEmail, "61412345678", goneName, gonePerson.id},
	} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.fill(goneDocument, gonePerson)
			w.fill(keptDocument, keptPerson)
			both := signing(goneDocument, keptPerson, event.RecipientSigned, 9)
			m, err := event.Message(t.Context(), both)
			w.publish(m, err)
			naming := signing(goneDocument, keptPerson, event.RecipientOpened, 10)
			naming.Attributes["note"] = "forwarded by " + goneName
			m, err = event.Message(t.Context(), naming)
			w.publish(m, err)
			number := "+61 412-345-678" // another notation, without the e-mail
			other := signing("OTHER-document", person{id: "x", mobile: number}, event.RecipientSent, 11)
			m, err = event.Message(t.Context(), other)
			w.publish(m, err)
			who, err := erase.ParsePerson(address)
			if err != nil {
				t.Fatal(err)
			}
			w.erase(erase.Target{Person: who})
			if left := w.files(with...); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if got := w.subjects(); got[keptDocument] != 4 || got[goneDocument] != 2 { // document.sent names no person
				t.Errorf("events by document: %v", got)
			}
			if len(w.events(event.DocumentErased)) == 0 || w.count()["KV_ERASED"] != 0 {
				t.Error("want a report and no tombstone")
			}
		})
	}
}

// subjects counts the events of each document.
func (w *world) subjects() map[string]int {
	w.t.Helper()
	all := map[string]int{}
	for m, err := range (event.Log{JS: w.js, Stream: flow.Signing}).Messages(w.t.Context(), event.Everything, time.Time{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		a, _ := event.ParseSubject(m.Subject)
		all[a.Document]++
	}
	return all
}

func TestParsePerson(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"jo@example.com": true, "+61412345678": true, "+1 (317) 555-0100": true,
		"": false, "jo": false, "0412345678": false, "Jo <jo@example.com>": false, "@": false, "+": false,
	} {
		if _, err := erase.ParsePerson(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A document under a hold is not erased, and its copies have all its events, each once. After its release it can be erased, also from HOLD.
func TestHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(goneDocument, gonePerson)
	documents, err := erase.DocumentsOf(t.Context(), w.js, goneDocument, "")
	if err != nil || len(documents) != 1 {
		t.Fatal(documents, err)
	}
	order := erase.Order{By: "ops", Reason: "case 7"}
	for range 2 { // it can be repeated
		if _, err := erase.Hold(t.Context(), w.js, documents[0], order, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.count()[flow.Hold]; n != 5 { // four events and document.held
		t.Errorf("%d copies", n)
	}
	target := erase.Target{IDs: []string{goneDocument}}
	found, err := w.eraser.Find(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	var held *erase.HeldError
	before := w.count()
	if _, err := w.eraser.Run(t.Context(), target, found, order, time.Now()); !errors.As(err, &held) {
		t.Errorf("a held document: %v", err)
	}
	if after := w.count(); !maps.Equal(before, after) {
		t.Errorf("%v, then %v", before, after)
	}
	if expired, err := erase.Expired(t.Context(), w.js, erase.Source{Name: "acme", Provider: "pleasesign"}, time.Now().Add(time.Hour)); err != nil || len(expired) != 0 {
		t.Errorf("expired: %v, %v", expired, err)
	}
	holds, err := erase.Holds(t.Context(), w.js)
	if err != nil || holds[documents[0]].Reason != "case 7" {
		t.Fatal(holds, err)
	}
	if err := erase.Release(t.Context(), w.js, holds[documents[0]], order, time.Now()); err != nil {
		t.Fatal(err)
	}
	w.erase(target)
	if left := w.files(goneDocument, goneEmail, goneName); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A program that knows the tombstones recognises an erased document, under each master key, and no other.
func TestTombstones(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(goneDocument, gonePerson)
	before, err := erase.WatchTombstones(t.Context(), w.js, ring)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if !before.None() {
		t.Error("there is a tombstone before the first erasure")
	}
	w.erase(erase.Target{IDs: []string{goneDocument}})
	rotated := keyring.New([]string{strings.Repeat("n", 32), strings.Repeat("k", 32)})
	after, err := erase.WatchTombstones(t.Context(), w.js, rotated)
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	for _, c := range []struct {
		source, document string
		want             bool
	}{{"acme", goneDocument, true}, {"other", goneDocument, false}, {"acme", keptDocument, false}, {"acme", "", false}} {
		if after.Erased(c.source, "pleasesign", c.document) != c.want {
			t.Errorf("%s of %s: want %v", c.document, c.source, c.want)
		}
	}
	m, err := event.Message(t.Context(), signing(goneDocument, gonePerson, event.LinkOpened, 20)) // work that was in flight
	w.publish(m, err)
	late, err := after.Returned(t.Context(), w.js, time.Now().Add(-time.Hour))
	if err != nil || len(late) != 1 {
		t.Errorf("late: %v, %v", late, err)
	}
	w.erase(erase.Target{Exact: late})
	if left := w.files(goneDocument, goneEmail); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// An erasure that is stopped anywhere continues when it is repeated, and leaves nothing.
func TestAStoppedErasureContinues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(goneDocument, gonePerson)
	w.fill(keptDocument, keptPerson)
	target := erase.Target{IDs: []string{goneDocument}}
	for stop := 1; ; stop++ {
		ctx, cancel := context.WithCancel(t.Context())
		steps := 0
		w.eraser.Progress = func(string, int, int) {
			if steps++; steps >= stop {
				cancel()
			}
		}
		found, err := w.eraser.Find(ctx, target)
		if err == nil && !found.Empty() {
			_, err = w.eraser.Run(ctx, target, found, erase.Order{By: "ops", Reason: "request 12"}, time.Now())
		}
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	w.eraser.Progress = nil
	w.erase(target)
	if left := w.files(goneDocument, goneEmail, goneName); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	var reported []string
	for _, e := range w.events(event.DocumentErased) {
		reported = append(reported, e.GetAttributes()["sequences"])
	}
	if len(reported) == 0 || reported[0] != "1-4" {
		t.Errorf("reported: %v", reported)
	}
}

// killedAt is the variable with the step at which TestVictim dies, and victimURL that of its server.
const killedAt, victimURL = "SIGNRELAY_TEST_KILLED_AT", "SIGNRELAY_TEST_VICTIM_URL"

// TestVictim is the process that TestAKilledErasureContinues kills with SIGKILL, which no program can catch.
func TestVictim(t *testing.T) { //nolint:paralleltest // it is alone in its process
	at, err := strconv.Atoi(os.Getenv(killedAt))
	if err != nil {
		t.Skip("it is run by TestAKilledErasureContinues")
	}
	nc, err := nats.Connect(os.Getenv(victimURL))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	e := &erase.Eraser{JS: js, Ring: ring, Progress: func(string, int, int) {
		if steps++; steps == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}}
	target := erase.Target{IDs: []string{goneDocument}}
	found, err := e.Find(t.Context(), target)
	if err == nil && !found.Empty() {
		_, err = e.Run(t.Context(), target, found, erase.Order{By: "ops", Reason: "request 12"}, time.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// An erasure that is killed at any of its steps continues when it is repeated, and leaves nothing. It reported each event before its removal.
func TestAKilledErasureContinues(t *testing.T) {
	t.Parallel()
	realtest.Server(t, "a process that is killed")
	w := newWorld(t)
	w.fill(goneDocument, gonePerson)
	w.fill(keptDocument, keptPerson)
	kills := 0
	for _, at := range []int{1, 2, 3, 8, 1, 5, 13, 2, 21, 34} {
		victim := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$")
		victim.Env = append(os.Environ(), killedAt+"="+strconv.Itoa(at), victimURL+"="+w.broker.URL)
		output, err := victim.CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
				kills++
				continue
			}
		}
		if err != nil {
			t.Fatalf("step %d: %v\n%s", at, err, output)
		}
	}
	if kills < 5 {
		t.Errorf("it was killed only %d times", kills)
	}
	w.erase(erase.Target{IDs: []string{goneDocument}})
	if left := w.files(goneDocument, goneEmail, goneName); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if got := w.subjects(); got[keptDocument] != 4 {
		t.Errorf("%d events of the other document", got[keptDocument])
	}
	if reports := w.events(event.DocumentErased); len(reports) == 0 || reports[0].GetAttributes()["sequences"] != "1-4" {
		t.Errorf("reports: %v", reports)
	}
}

// An erasure that was stopped while it filled the files of the streams leaves what it wrote. The next one removes it, too: otherwise the server
// would not rewrite the file in which a schedule that was due has its bytes.
func TestAnErasureStoppedAtItsEndContinues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(goneDocument, gonePerson)
	for range 6 {
		for _, subject := range []string{flow.FillLater("sms"), flow.FillLater("email"), flow.FillRemind, flow.FillArchive} {
			w.publish(&nats.Msg{Subject: subject, Data: make([]byte, 1<<20)}, nil)
		}
	}
	before := w.count()
	w.erase(erase.Target{IDs: []string{goneDocument}})
	if left := w.files(goneDocument, goneEmail, goneName); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	for _, stream := range []string{flow.LaterSMS, flow.LaterEmail, flow.Remind, flow.Archive} {
		if n := w.count()[stream]; n > before[stream]-6 {
			t.Errorf("%s has %d messages, %d before", stream, n, before[stream])
		}
	}
}

// A message that is gone already does not stop an erasure: the server removes a schedule that is due at any time. Every other failure does.
func TestAMessageThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(goneDocument, gonePerson)
	stream, err := w.js.Stream(t.Context(), flow.Signing)
	if err != nil {
		t.Fatal(err)
	}
	for _, sequence := range []uint64{1, 1, 1 << 40} { // the second time it is gone; the third never existed
		if err := erase.SecureDelete(t.Context(), stream, sequence); err != nil {
			t.Errorf("%d: %v", sequence, err)
		}
	}
	w.change(flow.Signing, func(c *jetstream.StreamConfig) { c.Sealed = true })
	if err := erase.SecureDelete(t.Context(), stream, 2); err == nil {
		t.Error("a refused deletion is reported as done")
	}
}

// A long run of events of which none stays is removed by whole files: nothing is left, the events around it stay, and only the edges are
// overwritten one by one.
func TestALongRunIsRemovedByFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	padding := strings.Repeat("x", 500_000)
	publish := func(document string, n int) {
		e := signing(document, gonePerson, event.RecipientOpened, n)
		e.Attributes["padding"] = padding
		m, err := event.Message(t.Context(), e)
		w.publish(m, err)
	}
	const run = 90 // 45 MB, five files
	publish(keptDocument, 0)
	exact := map[erase.Document]bool{}
	for n := range run {
		document := fmt.Sprintf("%s-%d", goneDocument, n)
		exact[erase.Document{Source: "acme", Provider: "pleasesign", Token: document}] = true
		publish(document, n)
	}
	publish(keptDocument, 1)
	w.erase(erase.Target{Exact: exact})
	if left := w.files(goneDocument); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if got := w.subjects(); got[keptDocument] != 2 {
		t.Errorf("%d events of the other document", got[keptDocument])
	}
}

// Documents expire by their last event, each source by itself.
func TestExpired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(goneDocument, gonePerson)
	time.Sleep(20 * time.Millisecond) // the broker's clock decides
	between := time.Now()
	w.fill(keptDocument, keptPerson)
	of := erase.Source{Name: "acme", Provider: "pleasesign"}
	expired, err := erase.Expired(t.Context(), w.js, of, between)
	if err != nil || len(expired) != 1 || !expired[erase.Document{Source: "acme", Provider: "pleasesign", Token: goneDocument}] {
		t.Errorf("%v, %v", expired, err)
	}
	m, err := event.Message(t.Context(), signing(goneDocument, gonePerson, event.RecipientOpened, 30))
	w.publish(m, err)
	if expired, err := erase.Expired(t.Context(), w.js, of, between); err != nil || len(expired) != 0 {
		t.Errorf("after a later event: %v, %v", expired, err)
	}
	if expired, err := erase.Expired(t.Context(), w.js, erase.Source{Name: "other", Provider: "pleasesign"}, time.Now()); err != nil || len(expired) != 0 {
		t.Errorf("of another source: %v, %v", expired, err)
	}
}

// An event of another document that carries a batch stays, without the batch. The event is there once, with its id.
func TestABatchInAnotherDocumentsEventIsCutOff(t *testing.T) {
	t.Parallel()
	for name, exact := range map[string]bool{"by subject": false, "in one pass": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.change(flow.Signing, func(c *jetstream.StreamConfig) { c.Duplicates = 100 * time.Millisecond })
			carrier := signing(keptDocument, keptPerson, event.RecipientDownloaded, 0)
			carrier.Callback = &signingv1.Callback{
				Id: "batch", Item: proto.Uint32(0), Method: "POST", Body: []byte(`[{"uri":"/document/` + keptDocument + `/"},{"uri":"/document/` + goneDocument + `/","email":"` + goneEmail + `"}]`),
			}
			m, err := event.Message(t.Context(), carrier)
			w.publish(m, err)
			other := signing(goneDocument, gonePerson, event.RecipientDownloaded, 1)
			other.Callback = &signingv1.Callback{Id: "batch", Item: proto.Uint32(1)}
			m, err = event.Message(t.Context(), other)
			w.publish(m, err)
			time.Sleep(200 * time.Millisecond) // the stream's own window
			target := erase.Target{IDs: []string{goneDocument}}
			if exact {
				target = erase.Target{Exact: map[erase.Document]bool{{Source: "acme", Provider: "pleasesign", Token: goneDocument}: true}}
			}
			w.erase(target)
			if left := w.files(goneDocument, goneEmail); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			is := w.events(event.RecipientDownloaded)
			if len(is) != 1 || is[0].GetId() != carrier.GetId() || is[0].GetCallback().GetId() != "batch" || event.Carries(is[0].GetCallback()) {
				t.Errorf("events: %v", is)
			}
			if reports := w.events(event.DocumentErased); len(reports) != 1 || reports[0].GetAttributes()["sequences"] != "1-2" {
				t.Errorf("reports: %v", reports)
			}
		})
	}
}

func (w *world) change(stream string, set func(*jetstream.StreamConfig)) {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), stream)
	if err != nil {
		w.t.Fatal(err)
	}
	c := s.CachedInfo().Config
	set(&c)
	if _, err := w.js.UpdateStream(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
}

// files is an archive in memory.
type files struct {
	mu   sync.Mutex
	keys map[string]bool
}

func (f *files) Keys(_ context.Context, prefix string) (all []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.keys {
		if strings.HasPrefix(key, prefix) {
			all = append(all, key)
		}
	}
	return all, nil
}

func (f *files) Delete(_ context.Context, key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.keys, key)
	return nil
}

// left returns the keys in the archive.
func (f *files) left() []string { return slices.Sorted(maps.Keys(f.keys)) }

// archived stores a document with people, and a file of it. Its beginning and its people can be missing from the log.
func (w *world) archived(document string, begun bool, people ...person) (key string) {
	w.t.Helper()
	n := 100
	store := func(p person, typ string, change func(*signingv1.SigningEvent)) {
		n++
		e := signing(document, p, typ, n)
		if change != nil {
			change(e)
		}
		m, err := event.Message(w.t.Context(), e)
		w.publish(m, err)
	}
	if begun {
		store(person{}, event.DocumentSent, nil)
	}
	for _, p := range people {
		store(p, event.RecipientSigned, nil)
	}
	key = "acme/pleasesign/" + document + "/signed-" + strings.Repeat("0", 64) + ".pdf"
	store(person{}, event.DocumentArchived, func(e *signingv1.SigningEvent) { e.File = &signingv1.File{Kind: "signed", Key: key} })
	return key
}

// The files of a person's documents: those that have only this person go, with the event that names them. The others stay until the order includes
// them, also if the log does not have all people of the document.
func TestTheFilesOfAPerson(t *testing.T) {
	t.Parallel()
	const alone, shared, cut, other = "ALONE-1", "SHARED-1", "CUT-1", "OTHER-1"
	for name, c := range map[string]struct {
		all  bool
		want []string // documents whose files stay
	}{
		"by default":            {false, []string{cut, other, shared}},
		"with the shared files": {true, []string{other}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			archive := &files{keys: map[string]bool{}}
			w.eraser.Archive = archive
			again := gonePerson
			again.id = "another-id" // two signatures of one person
			for _, key := range []string{
				w.archived(alone, true, gonePerson, again), w.archived(shared, true, gonePerson, keptPerson), w.archived(cut, false, gonePerson), w.archived(other, true, keptPerson),
			} {
				archive.keys[key] = true
			}
			who, err := erase.ParsePerson(goneEmail)
			if err != nil {
				t.Fatal(err)
			}
			found := w.erase(erase.Target{Person: who, SharedFiles: c.all})
			var stay []string
			for _, key := range archive.left() {
				stay = append(stay, strings.Split(key, "/")[2])
			}
			if !slices.Equal(stay, c.want) {
				t.Errorf("files of %v stay, want %v", stay, c.want)
			}
			others := map[string]int{}
			for _, s := range found.Shared {
				others[s.Token] = s.Others
			}
			if want := map[string]int{shared: 1, cut: erase.UnknownOthers}; !c.all && !maps.Equal(others, want) || c.all && len(others) > 0 {
				t.Errorf("shared: %v", others)
			}
			named := 0
			for _, e := range w.events(event.DocumentArchived) {
				if !archive.keys[e.GetFile().GetKey()] {
					t.Errorf("the log names the file %s, which is gone", e.GetFile().GetKey())
				}
				named++
			}
			if named != len(c.want) {
				t.Errorf("the log names %d files", named)
			}
		})
	}
}

// A document of a person under a legal hold stops the whole erasure, so that no file and no event of it goes.
func TestTheFilesOfAPersonUnderAHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	archive := &files{keys: map[string]bool{}}
	w.eraser.Archive = archive
	archive.keys[w.archived("HELD-1", true, gonePerson)] = true
	archive.keys[w.archived("FREE-1", true, gonePerson)] = true
	if _, err := erase.Hold(t.Context(), w.js, erase.Document{Source: "acme", Provider: "pleasesign", Token: "HELD-1"}, erase.Order{By: "ops", Reason: "case 7"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	who, err := erase.ParsePerson(goneEmail)
	if err != nil {
		t.Fatal(err)
	}
	found, err := w.eraser.Find(t.Context(), erase.Target{Person: who, SharedFiles: true})
	if err != nil {
		t.Fatal(err)
	}
	before := w.count()
	_, err = w.eraser.Run(t.Context(), erase.Target{Person: who, SharedFiles: true}, found, erase.Order{By: "ops", Reason: "request 12"}, time.Now())
	if !errors.As(err, new(*erase.HeldError)) || len(archive.left()) != 2 || !maps.Equal(before, w.count()) {
		t.Errorf("%v, %d files", err, len(archive.left()))
	}
}

// The archive keeps files for longer than the log keeps events. They go, too: the settings name the sources. The erasure is an event without
// sequences, which a copy of the log can follow.
func TestFilesThatTheLogDoesNotNameAnyMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key, kept := "acme/pleasesign/"+goneDocument+"/signed-1.pdf", "acme/pleasesign/"+keptDocument+"/signed-1.pdf"
	archive := &files{keys: map[string]bool{key: true, kept: true, "acme/pleasesign/" + goneDocument + "x/signed-1.pdf": true}}
	w.eraser.Archive, w.eraser.Sources = archive, []erase.Source{{Name: "acme", Provider: "pleasesign"}, {Name: "other", Provider: "clickwrap"}}
	w.erase(erase.Target{IDs: []string{goneDocument}})
	if left := archive.left(); len(left) != 2 || archive.keys[key] {
		t.Errorf("left: %v", left)
	}
	if reports := w.events(event.DocumentErased); len(reports) != 1 || reports[0].GetAttributes()["sequences"] != "" {
		t.Errorf("reports: %v", reports)
	}
	if w.count()["KV_ERASED"] != 1 {
		t.Error("no tombstone")
	}
	if found, err := erase.InCopy(t.Context(), w.eraser); err != nil || found.Len() != 0 {
		t.Errorf("a copy: %v, %v", found, err)
	}
}

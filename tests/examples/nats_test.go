package examples_test

import (
	"context"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/examples"
	"github.com/signrelay/signrelay/tests/testenv"
)

func TestMain(m *testing.M) {
	status := m.Run()
	testenv.Cleanup()
	os.Exit(status)
}

// log is a log that an example reads under the durable name "billing".
type log struct {
	*testenv.Env
	t        *testing.T
	language string
}

// setup starts a standalone with the sandbox.
func setup(t *testing.T, language string) log {
	t.Helper()
	return read(t, language, func() *testenv.Env { return testenv.Standalone(t) })
}

// alone returns a log in which only the test writes.
func alone(t *testing.T, language string) log {
	t.Helper()
	return read(t, language, func() *testenv.Env { return testenv.Infrastructure(t, func(*testenv.Env) string { return "" }) })
}

func read(t *testing.T, language string, start func() *testenv.Env) log {
	t.Helper()
	h := start()
	return log{Env: h, t: t, language: language}
}

func (l log) start() *examples.Subscriber {
	l.t.Helper()
	return examples.Start(l.t, l.language, "nats", l.Subscriber(l.t)...)
}

// play plays stories of all providers with signatures and other events.
func (l log) play() {
	l.t.Helper()
	l.Play(l.t, "pleasesign", "two-signers")
	l.Play(l.t, "pleasesign", "declined")
	l.Play(l.t, "clickwrap", "two-signers")
	l.Play(l.t, "esign-v1", "two-signers")
}

// untilDone waits until the stories are over, and the subscriber has acknowledged every signature.
func (l log) untilDone() {
	l.t.Helper()
	l.WaitIdle(l.t)
	l.untilAcknowledged()
}

func (l log) untilAcknowledged() {
	l.t.Helper()
	js := l.JetStream(l.t)
	stream, err := js.Stream(context.Background(), flow.Signing)
	if err != nil {
		l.t.Fatal(err)
	}
	// It compares the number of the last signature, because a new consumer briefly reports nothing pending.
	last, err := stream.GetLastMsgForSubject(context.Background(), "signing.v1.*.*.recipient.signed.>")
	if err != nil {
		l.t.Fatal(err)
	}
	l.Until(l.t, "the subscriber has acknowledged everything", func() bool {
		consumer, err := js.Consumer(context.Background(), flow.Signing, "billing")
		if err != nil {
			return false
		}
		info := consumer.CachedInfo()
		return info.NumPending == 0 && info.NumAckPending == 0 && info.AckFloor.Stream >= last.Sequence
	})
}

// signatures are the expected lines for the log, from its beginning.
func (l log) signatures() (lines []string) {
	l.t.Helper()
	stored := event.Log{JS: l.JetStream(l.t), Stream: flow.Signing}
	for m, err := range stored.Messages(l.t.Context(), "signing.v1.*.*.recipient.signed.>", time.Time{}) {
		if err != nil {
			l.t.Fatal(err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			l.t.Fatal(err)
		}
		lines = append(lines, examples.Line(e))
	}
	return lines
}

func TestExamplesPrintEverySignatureOnce(t *testing.T) {
	t.Parallel()
	examples.Each(t, func(t *testing.T, language string) {
		l := setup(t, language)

		s := l.start()
		l.play()
		l.untilDone()
		printed := s.Stop()
		l.check(printed)

		// Events are stored while the example is stopped; after a restart it continues at its position.
		l.play()
		s = l.start()
		l.untilDone()
		printed = append(printed, s.Kill()...)
		l.check(printed)
	})
}

// check compares the printed lines with the log.
func (l log) check(printed []string) {
	l.t.Helper()
	want := l.signatures()
	if len(want) == 0 {
		l.t.Fatal("the stories have no signature")
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(printed))); diff != "" {
		l.t.Fatalf("printed (-want +got):\n%s", diff)
	}
}

func TestExamplesIgnoreRepetitions(t *testing.T) {
	t.Parallel()
	examples.Each(t, func(t *testing.T, language string) {
		l := alone(t, language)
		s := l.start()
		for range 2 {
			for n := range 3 {
				l.publish(n, "")
			}
		}
		l.untilAcknowledged()
		if twice := l.signatures(); len(twice) != 6 {
			t.Fatalf("the log holds %d, want each of the 3 twice", len(twice))
		}
		if printed := s.Stop(); len(printed) != 3 {
			t.Errorf("printed:\n%s", strings.Join(printed, "\n"))
		}
	})
}

// An example that is killed during its work has not acknowledged the events, so it gets them again.
func TestExamplesRepeatUnfinishedWork(t *testing.T) {
	t.Parallel()
	examples.Each(t, func(t *testing.T, language string) {
		l := alone(t, language)
		const count = 1000
		for n := range count {
			l.publish(n, strconv.Itoa(n))
		}
		s := examples.StartUnread(t, language, "nats", "NATS_URL="+l.NATSURL)
		l.Until(t, "it is blocked during its work", s.Stuck)
		printed := s.Kill()
		if len(printed) == 0 || len(printed) == count {
			t.Fatalf("it had printed %d of %d when it was killed", len(printed), count)
		}
		l.overdue()
		s = l.start()
		l.untilAcknowledged()
		printed = append(printed, s.Stop()...)
		slices.Sort(printed)
		again := len(printed)
		printed = slices.Compact(printed)
		again -= len(printed)
		l.check(printed)
		if again > 20 { // it fetches ten at a time
			t.Errorf("%d events were delivered again", again)
		}
	})
}

// ackWithin makes the server redeliver unacknowledged messages after this time, instead of after 30 s.
func (l log) ackWithin(wait time.Duration) (consumer jetstream.Consumer) {
	l.t.Helper()
	l.Until(l.t, "the server has the new time", func() bool {
		js := l.JetStream(l.t)
		c, err := js.Consumer(l.t.Context(), flow.Signing, "billing")
		if err != nil {
			return false
		}
		is := c.CachedInfo().Config
		is.AckWait = wait
		consumer, err = js.UpdateConsumer(l.t.Context(), flow.Signing, is)
		return err == nil
	})
	return consumer
}

// overdue waits until the messages in flight of a killed subscriber can be redelivered.
func (l log) overdue() {
	l.t.Helper()
	consumer := l.ackWithin(100 * time.Millisecond)
	if consumer.CachedInfo().NumAckPending == 0 {
		return // the subscriber was killed between two fetches
	}
	inFlight := consumer.CachedInfo().Delivered.Stream
	l.Until(l.t, "the messages in flight are redelivered", func() bool {
		batch, err := consumer.FetchNoWait(1)
		if err != nil {
			return false
		}
		again := false
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			again = err == nil && meta.Sequence.Stream <= inFlight
			_ = m.Nak() // redelivered at once
		}
		return again
	})
}

// publish stores a signature; without a message id, the log stores it twice.
func (l log) publish(n int, messageID string) {
	l.t.Helper()
	m, err := event.Message(l.t.Context(), examples.Signature(n))
	if err != nil {
		l.t.Fatal(err)
	}
	if messageID == "" {
		m.Header.Del(nats.MsgIdHdr)
	}
	l.Until(l.t, "the log stores it", func() bool {
		_, err := l.JetStream(l.t).PublishMsg(context.Background(), m)
		return err == nil
	})
}

// A team has a name, a password, and a copy of the log in its own account.
func TestExamplesReadTeamCopy(t *testing.T) {
	t.Parallel()
	examples.Each(t, func(t *testing.T, language string) {
		l := read(t, language, func() *testenv.Env { return testenv.WithAccounts(t, testenv.SandboxSettings) })
		l.CopyLog(t, "billing")
		for n := range 20 {
			l.publish(n, strconv.Itoa(n))
		}
		s := examples.Start(t, language, "nats", "NATS_URL="+l.NATSURL, "NATS_USER=billing", "NATS_PASSWORD="+testenv.PasswordOf("billing"))
		l.Until(t, "the last one is printed", func() bool { return len(s.Lines()) >= 20 })
		l.check(s.Stop())
	})
}

// The program reports a refused password and keeps running. It continues as soon as the server accepts the password, at the start and later.
func TestExamplesReportRefusedPassword(t *testing.T) {
	t.Parallel()
	examples.Each(t, func(t *testing.T, language string) {
		l := read(t, language, func() *testenv.Env { return testenv.WithAccounts(t, testenv.SandboxSettings) })
		l.CopyLog(t, "billing")
		takes := func(password string) {
			server := l.Processes["nats"]
			server.SetEnv("NATS_BILLING_PASSWORD", password)
			server.Kill()
			server.Start()
		}
		refusals := 0
		refused := func(s *examples.Subscriber) {
			before := refusals
			l.Until(t, "it reports the cause", func() bool {
				refusals = strings.Count(strings.ToLower(s.Stderr()), "authorization violation")
				return refusals >= before+3 // also the third time: clients give up after the second
			})
			if strings.Contains(s.Stderr(), "Traceback") {
				t.Error("it reports the cause in a traceback")
			}
		}
		s := examples.Start(t, language, "nats", "NATS_URL="+l.NATSURL, "NATS_USER=billing", "NATS_PASSWORD=another-password")
		refused(s)
		takes("another-password")
		for n := range 10 {
			l.publish(n, strconv.Itoa(n))
		}
		l.Until(t, "the first ten are printed", func() bool { return len(s.Lines()) >= 10 })
		takes("a-third-password")
		refused(s)
		takes("another-password")
		for n := 10; n < 20; n++ {
			l.publish(n, strconv.Itoa(n))
		}
		l.Until(t, "the last one is printed", func() bool { return len(s.Lines()) >= 20 })
		l.check(s.Stop())
	})
}

func TestExamplesResumeAfterNATSOutage(t *testing.T) {
	t.Parallel()
	examples.Each(t, func(t *testing.T, language string) {
		l := alone(t, language)
		s := l.start()
		for n := range 20 {
			if n == 10 {
				l.untilAcknowledged()
				l.Processes["nats"].Kill()
				l.Processes["nats"].Start()
				l.ackWithin(2 * time.Second) // the server may redeliver messages that were acked just before it was killed
			}
			l.publish(n, strconv.Itoa(n))
		}
		l.untilAcknowledged()
		l.check(s.Stop())
	})
}

func TestExamplesEndWithoutNATS(t *testing.T) {
	t.Parallel()
	examples.Each(t, func(t *testing.T, language string) {
		l := setup(t, language)
		s := l.start()
		l.play()
		l.untilDone()
		l.Processes["signrelay"].Kill()
		s.Stop()

		// It also ends if it has never reached a server: this one does not respond.
		mute, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = mute.Close() }()
		s = examples.Start(t, language, "nats", "NATS_URL=nats://"+mute.Addr().String())
		caller, err := mute.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = caller.Close() }()
		s.Stop()
	})
}

package permissions_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/tests/testenv"
)

// user is a connection with one user's credentials.
type user struct {
	testing.TB

	name string
	nc   *nats.Conn
	js   jetstream.JetStream
}

func connect(t testing.TB, h *testenv.Env, name string) user {
	t.Helper()
	nc, err := nats.Connect(h.NATSURL, nats.UserInfo(name, testenv.PasswordOf(name)), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return user{TB: t, name: name, nc: nc, js: js}
}

// may publishes, and reports whether the server allowed it: a refusal arrives before the response to the ping that follows.
func (u user) may(m *nats.Msg) bool {
	u.Helper()
	if err := errors.Join(u.nc.PublishMsg(m), u.nc.Flush()); err != nil {
		u.Fatalf("%s on %s: %v", u.name, m.Subject, err)
	}
	last := u.nc.LastError()
	return last == nil || !strings.Contains(last.Error(), `"`+m.Subject+`"`)
}

// maySubscribe reports whether the user may subscribe.
func (u user) maySubscribe(subject string) bool {
	u.Helper()
	sub, err := u.nc.SubscribeSync(subject)
	if err = errors.Join(err, u.nc.Flush()); err != nil {
		u.Fatalf("%s to %s: %v", u.name, subject, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	last := u.nc.LastError()
	return last == nil || !strings.Contains(last.Error(), `Subscription to "`+subject+`"`)
}

// request sends a request to JetStream and returns the response; empty if the request is refused. A message taken from a consumer is acknowledged.
func (u user) request(subject, body string) string {
	u.Helper()
	m, err := u.nc.Request(subject, []byte(body), 500*time.Millisecond)
	if err != nil {
		return ""
	}
	if strings.HasPrefix(m.Reply, "$JS.ACK.") {
		if _, err := u.nc.Request(m.Reply, []byte("+ACK"), 5*time.Second); err != nil {
			u.Errorf("%s: ack: %v", u.name, err)
		}
	}
	return m.Header.Get("Nats-Stream") + string(m.Data)
}

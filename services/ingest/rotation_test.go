package ingest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	"github.com/signrelay/signrelay/libs/telemetry"
	"github.com/signrelay/signrelay/services/ingest"
)

const oneSource = "sources: [{name: acme, provider: clickwrap}]\n"

// callback returns a callback about a new document.
func callback(n int) string {
	return fmt.Sprintf(`{"event_type":"request_sent","request":"request%d","activity":"activity%d","created_time":"2017-07-19T16:15:28.509Z","id":"id%d"}`, n, n, n)
}

func tokenOf(secret string) http.Header {
	return http.Header{"Pactsafe-Webhook-Token": {secret}, "Content-Type": {"application/json"}}
}

// The provider changes its secret at an unknown time. While both secrets are in the file, callbacks with either one are accepted.
func TestAWebhookSecretIsRotatedUnderLoad(t *testing.T) {
	t.Parallel()
	cfg, files := servicetest.Load(t, oneSource, map[string]string{"SOURCE_CLICKWRAP_ACME_WEBHOOK_SECRETS": "old"})
	b := servicetest.New(t, cfg)
	b.Start(ingest.Run)
	h := &harness{js: b.Env.JS, url: b.Listen()}
	const name = "SOURCE_CLICKWRAP_ACME_WEBHOOK_SECRETS"
	var sent atomic.Int64
	// load sends callbacks with a secret, from eight callers, until the returned function is called.
	load := func(secret string) (end func()) {
		var callers sync.WaitGroup
		stop := make(chan struct{})
		for range 8 {
			callers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if got := h.send(t, "POST", "/webhooks/clickwrap/acme", tokenOf(secret), strings.NewReader(callback(int(sent.Add(1))))); got.status != http.StatusAccepted {
						t.Errorf("with the %s secret: %d %v", secret, got.status, got.body)
					}
				}
			})
		}
		return func() { close(stop); callers.Wait() }
	}
	refused := func(secret string) {
		t.Helper()
		if got := h.send(t, "POST", "/webhooks/clickwrap/acme", tokenOf(secret), strings.NewReader(callback(0))); got.status != http.StatusUnauthorized {
			t.Errorf("with the %s secret: %d", secret, got.status)
		}
	}

	refused("new")
	old := load("old")
	files.Replace(b.Env.Live, name, "old\nnew\n")
	next := load("new")
	until := sent.Load() + 200
	for sent.Load() < until {
		<-time.After(time.Millisecond)
	}
	old()
	files.Replace(b.Env.Live, name, "new\n")
	refused("old")
	next()
	if stored := h.count(t, flow.Signing); stored != uint64(sent.Load()) {
		t.Errorf("%d stored of %d", stored, sent.Load())
	}
}

// While callbacks arrive, the broker and Redis get new passwords and new certificates of another authority, and close every connection. Then
// the files are replaced. The test retries each callback as a provider does. The log holds each once.
func TestBrokerAndRedisAreRotatedUnderLoad(t *testing.T) {
	t.Parallel()
	old, next := realtest.NewAuthority(t), realtest.NewAuthority(t)
	let := func(authority *realtest.Authority, password string) func(*server.Options) {
		return func(o *server.Options) {
			o.Users = []*server.User{{Username: "ingest", Password: password}, {Username: "operator", Password: "operator"}}
			o.TLSConfig, o.TLSTimeout = authority.Server(false), 5
		}
	}
	broker := realtest.NATSWith(t, let(old, "one"))
	operator := operate(t, broker, old)
	if err := flow.Provision(t.Context(), operator, 1); err != nil {
		t.Fatal(err)
	}
	cfg, files := servicetest.Load(t, oneSource, map[string]string{
		"NATS_TLS_CA": old.PEM, "NATS_PASSWORD": "one", "REDIS_TLS_CA": old.PEM, "REDIS_PASSWORD": "one",
		"SOURCE_CLICKWRAP_ACME_WEBHOOK_SECRETS": "12345",
	}, "SIGNRELAY_NATS_URL="+broker.URL, "SIGNRELAY_NATS_USER=ingest", "SIGNRELAY_REDIS_USERNAME=ingest",
		"SIGNRELAY_INGEST_ADDR=127.0.0.1:0", "SIGNRELAY_ADMIN_ADDR=127.0.0.1:0")
	memory := realtest.RedisWithTLS(t, old, false)
	cfg.Redis.URL = memory.Secure
	admin, err := service.ConnectRedis(config.Redis{URL: memory.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	do := func(args ...any) {
		t.Helper()
		if err := admin.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	do("ACL", "SETUSER", "ingest", "on", ">one", "~*", "+@all")

	logged := new(servicetest.Logged)
	h := host(t, cfg, logged)
	var sent, put atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				body := callback(int(sent.Add(1)))
				for {
					got := h.post(t, "/webhooks/clickwrap/acme", body)
					if got.status < 300 {
						break
					}
					if got.status != http.StatusServiceUnavailable {
						t.Errorf("%d %v", got.status, got.body)
						return
					}
					put.Add(1)
					<-time.After(50 * time.Millisecond)
				}
			}
		})
	}
	more := func() func() bool {
		from := sent.Load()
		return func() bool { return sent.Load() > from+50 }
	}
	h.until(t, "callbacks arrive", more())

	memory.Change(next)
	do("ACL", "SETUSER", "ingest", ">two", "<one")
	do("CLIENT", "KILL", "USER", "ingest")
	broker.Restart(let(next, "two"))
	h.until(t, "it reports that the credentials are refused", func() bool {
		return put.Load() > 0 && strings.Contains(logged.String(), "nats.tls.ca lacks the authority")
	})
	for name, text := range map[string]string{"NATS_TLS_CA": next.PEM, "NATS_PASSWORD": "two", "REDIS_TLS_CA": next.PEM, "REDIS_PASSWORD": "two"} {
		files.Write(name, text)
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil { // the host itself would read the files within 5 s
		t.Fatal(err)
	}
	h.until(t, "ingest is connected again", func() bool { return strings.Contains(logged.String(), "nats reconnected") })
	h.until(t, "callbacks arrive again", more())
	stop()
	callers.Wait()

	stream, err := operate(t, broker, next).Stream(t.Context(), flow.Signing)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter("signing.v1.>"))
	if err != nil {
		t.Fatal(err)
	}
	for subject, times := range info.State.Subjects {
		if times != 1 {
			t.Errorf("%d times on %s", times, subject)
		}
	}
	if len(info.State.Subjects) != int(sent.Load()) {
		t.Errorf("%d documents of %d", len(info.State.Subjects), sent.Load())
	}
	if keys, err := admin.DBSize(t.Context()).Result(); err != nil || keys == 0 {
		t.Errorf("Redis was not used: %d keys, %v", keys, err)
	}
	if output := logged.String(); strings.Contains(output, `"two"`) || strings.Contains(output, "PRIVATE KEY") {
		t.Error("a secret was logged")
	}
}

// operate returns a connection of the operator.
func operate(t *testing.T, broker *realtest.Broker, authority *realtest.Authority) jetstream.JetStream {
	t.Helper()
	secure, err := config.TLS{CA: authority.PEM}.Client("")
	if err != nil {
		t.Fatal(err)
	}
	_, js := broker.Connect(nats.UserInfo("operator", "operator"), nats.Secure(secure))
	return js
}

// host runs ingest as its program does.
func host(t *testing.T, cfg config.Config, logged *servicetest.Logged) *harness {
	t.Helper()
	opened, ended := make(chan service.Addresses, 1), make(chan error, 1)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	h := service.Host{Config: cfg, Log: telemetry.Logger(logged, "info", "ingest"), Opened: func(d service.Addresses) { opened <- d }, Services: []service.Service{ingest.Service}}
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(logged)
		}
	})
	select {
	case open := <-opened:
		return &harness{url: "http://" + open.Public["ingest"].String(), admin: "http://" + open.Admin.String()}
	case err := <-ended:
		t.Fatalf("ended at once: %v\n%s", err, logged)
	case <-time.After(20 * time.Second):
		t.Fatalf("not open in time\n%s", logged)
	}
	return nil
}

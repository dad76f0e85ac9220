package helm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	keda "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
)

// A real, provisioned server has the response to KEDA's request for each trigger: the consumer exists, and its waiting messages are
// counted.
func TestKEDAFindsEveryConsumer(t *testing.T) {
	t.Parallel()
	s, js := provisioned(t)
	for range 3 {
		if _, err := js.Publish(t.Context(), "notify.v1.send.sms.clickwrap.acme", []byte("one")); err != nil {
			t.Fatal(err)
		}
	}
	m, err := render(loadChart(t), example(t, "production"))
	if err != nil {
		t.Fatal(err)
	}
	triggers := 0
	for _, o := range of[*keda.ScaledObject](m) {
		for _, trigger := range o.Spec.Triggers {
			triggers++
			stream, consumer := trigger.Metadata["stream"], trigger.Metadata["consumer"]
			want := 0
			if stream == flow.Notify && consumer == flow.SMSSender {
				want = 3
			}
			if got, found := waiting(t, s, trigger.Metadata["account"], stream, consumer); !found || got != want {
				t.Errorf("%s on %s: found %t, %d wait, not %d", consumer, stream, found, got, want)
			}
		}
	}
	want := 0
	for _, s := range flow.Stages {
		if !s.Ordered {
			want += 2 // its stream, and the replays
		}
	}
	if triggers != want || triggers < 8 {
		t.Errorf("%d triggers, want %d", triggers, want)
	}
	for _, strange := range [][3]string{{"$G", flow.Notify, flow.SMSSender}, {"SIGNRELAY", flow.Signing, flow.SMSSender}} {
		if _, found := waiting(t, s, strange[0], strange[1], strange[2]); found {
			t.Errorf("%v should not be found", strange)
		}
	}
}

// provisioned is a server with the account names of deployments/nats, after provisioning.
func provisioned(t *testing.T) (*server.Server, jetstream.JetStream) {
	t.Helper()
	realtest.Server(t, "a NATS server")
	file := filepath.Join(t.TempDir(), "nats.conf")
	text := fmt.Sprintf(`listen: "127.0.0.1:-1", http: "127.0.0.1:-1"
jetstream: {store_dir: %q, max_file_store: 1GB}
accounts: {SIGNRELAY: {jetstream: enabled, users: [{user: operator, password: made-up}]}}`, t.TempDir())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	options.NoLog, options.NoSigs = true, true
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready within 10 s")
	}
	conn, err := nats.Connect(s.ClientURL(), nats.UserInfo("operator", "made-up"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	return s, js
}

// waiting sends the request of KEDA's nats-jetstream scaler, and reads the same fields.
func waiting(t *testing.T, s *server.Server, account, stream, consumer string) (lag int, found bool) {
	t.Helper()
	query := url.Values{"acc": {account}, "consumers": {"true"}, "config": {"true"}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.MonitorAddr().String()+"/jsz?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var listed struct {
		Accounts []struct {
			Name    string `json:"name"`
			Streams []struct {
				Name      string `json:"name"`
				Consumers []struct {
					Name       string `json:"name"`
					Pending    int    `json:"num_pending"`
					AckPending int    `json:"num_ack_pending"`
				} `json:"consumer_detail"`
			} `json:"stream_detail"`
		} `json:"account_details"`
	}
	if err := json.NewDecoder(response.Body).Decode(&listed); err != nil {
		t.Fatal(err)
	}
	for _, a := range listed.Accounts {
		for _, of := range a.Streams {
			for _, c := range of.Consumers {
				if a.Name == account && of.Name == stream && c.Name == consumer {
					return c.Pending + c.AckPending, true
				}
			}
		}
	}
	return 0, false
}

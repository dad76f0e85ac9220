// Package security attacks a running Signrelay over the network, as a stranger would: at its public listeners, and from the servers that it
// calls. Each attack has a control, a valid request that succeeds. SECURITY.md lists the promises.
package security

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

func TestMain(m *testing.M) {
	status := m.Run()
	testenv.Cleanup()
	os.Exit(status)
}

// stand is an environment with a process for each service, and outside parties that can be hostile.
type stand struct {
	*testenv.Env
	world     *world
	key       *rsa.PrivateKey // the eSignature API's
	responses responses
	kafka     string // the broker's address
}

// Each attack has its own sources at every provider, so that its effects can be distinguished.
var sources = []string{"forged", "replayed", "confused", "paths", "wire", "slow", "bodies", "ids", "messages", "links", "reach", "receipts", "story", "traced", "other", "pumping", "stolen", "terminal"}

// The authentication of the sources' callbacks.
func token(source string) string { return "token-of-" + source + "-6f1c" }

// Secrets that must appear only in the settings.
const (
	clickwrapAPIToken   = "clickwrap-api-9b27"
	pleasesignAPIKey    = "pleasesign-key-51d0"
	pleasesignAPISecret = "pleasesign-secret-c8e4"
	esignAPISecret      = "esign-secret-77aa"
	vonageSecret        = "vonage-secret-0e3f"
	receiptSecret       = "receipt-secret-d41d"
)

// newWorldStand is a stand without services.
func newWorldStand(t *testing.T) *stand {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &stand{world: newWorld(t), key: key}
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := newWorldStand(t)
	s.Env = testenv.Infrastructure(t, s.settings)
	for _, name := range testenv.Services[1:] { // world replaces the sandbox
		s.StartService(t, name, name)
	}
	kafka := testenv.Kafka(t, kfake.SeedTopics(1, "signrelay.signing.v1"))
	s.kafka = kafka.ListenAddrs()[0]
	s.StartService(t, flow.KafkaBridge, flow.KafkaBridge, "SIGNRELAY_KAFKA_BROKERS="+s.kafka)
	return s
}

// settings sets the lowest log level, so that the search covers every level.
func (s *stand) settings(h *testenv.Env) string {
	public := x509.MarshalPKCS1PublicKey(&s.key.PublicKey)
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: public}))
	var list strings.Builder
	for _, name := range sources {
		fmt.Fprintf(&list, `
  - {name: %[1]s, provider: clickwrap, sender_name: Acme, webhook: {secrets: [%[2]q]}, api: {base_url: %[3]q, token: %[4]q, per_minute: 60000}, quiet_hours: {from: "00:00", to: "00:00"}}
  - {name: %[1]s, provider: pleasesign, sender_name: Acme, region: AU, webhook: {secrets: [%[2]q]},
     api: {base_url: %[3]q, key: %[5]q, secret: %[6]q, per_minute: 60000}, quiet_hours: {from: "00:00", to: "00:00"}}
  - {name: %[1]s, provider: esign-v1, sender_name: Acme, region: GB, webhook: {token: %[2]q, certificate: %[7]q},
     api: {base_url: %[3]q, user: u, secret: %[8]q, per_minute: 60000}, quiet_hours: {from: "00:00", to: "00:00"}}
`, name, token(name), s.world.URL, clickwrapAPIToken, pleasesignAPIKey, pleasesignAPISecret, certificate, esignAPISecret)
	}
	// A source whose provider signs nothing: every callback with the token is accepted.
	fmt.Fprintf(&list, "  - {name: plain, provider: esign-v1, webhook: {token: %q}}\n", token("plain"))
	host, port, _ := strings.Cut(s.world.mail.Addr().String(), ":")
	return fmt.Sprintf(`
sources:
%[1]s
sms: {vonage: {api_key: security, api_secret: %[2]q, from: Acme, base_url: %[3]q, per_second: 1000,
      receipts_url: "http://%[4]s", signature_secret: %[5]q, signature_method: sha256}}
email: {from: "Acme <no-reply@acme.example>", smtp: {host: %[6]q, port: %[7]s, tls: none}}
shortener: {public_url: "http://%[8]s"}
log: {level: debug}
%[9]s`, list.String(), vonageSecret, s.world.URL, h.Address("SIGNRELAY_RECEIPTS_ADDR"), receiptSecret, host, port, h.Address("SIGNRELAY_LINKS_ADDR"), unlimited)
}

// unlimited allows many messages to few people, whose numbers are reserved for fiction. TestPumping tests the limits.
const unlimited = `limits: {person_per_day: 0, number_per_hour: 0, texts_per_day: 0, document: 0, source_per_day: 0, number_types: [mobile, unknown]}
`

// TestAttacks has one environment for all attacks. Afterwards, secrets and personal texts may be only in their permitted places.
//
//nolint:tparallel // the group is not parallel: the code after it waits for all of it
func TestAttacks(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	t.Run("while", func(t *testing.T) {
		for name, attack := range map[string]func(*testing.T, *stand){
			"forged callbacks":                       forgedCallbacks,
			"signatures on another path":             signaturesOnAnotherPath,
			"replayed callbacks":                     replayedCallbacks,
			"confusing headers":                      confusingHeaders,
			"confusing paths":                        confusingPaths,
			"traces of callers":                      foreignTraces,
			"smuggled requests":                      smuggledRequests,
			"slow callers":                           slowCallers,
			"bodies":                                 monstrousBodies,
			"forms":                                  monstrousForms,
			"a document's id":                        strangeIDs,
			"titles and names in messages":           hostileTexts,
			"addresses of people":                    hostileAddresses,
			"targets of links":                       hostileTargets,
			"servers that the enricher calls":        hostileIDs,
			"redirects of the API":                   hostileRedirects,
			"addresses from the provider at a click": hostileResponsesAtTheClick,
			"delivery receipts":                      forgedReceipts,
			"a whole story":                          wholeStory,
			"stolen credentials":                     stolenCredentials,
			"an operator's terminal":                 operatorsTerminal,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				attack(t, s)
			})
		}
	})
	s.Until(t, "Kafka has all events", func() bool {
		c, err := s.JetStream(t).Consumer(t.Context(), flow.Signing, flow.KafkaBridge)
		return err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
	})
	silence(t, s)
	s.world.canary.silent(t)
	if a, err := call("GET", s.world.canary.URL, nil, nil); err != nil || a.status != 200 || len(s.world.canary.calls) != 1 {
		t.Errorf("the canary does not count requests: %d %v", a.status, err)
	}
}

// stored returns the number of events in the log that match a filter.
func (s *stand) stored(t *testing.T, filter string) int {
	t.Helper()
	return s.Count(t, "SIGNING", filter)
}

// quarantined returns the number of a source's callbacks in quarantine.
func (s *stand) quarantined(t *testing.T, source string) int {
	t.Helper()
	return s.Count(t, "QUARANTINE", "quarantine.v1."+source+".>")
}

// each reads all messages of a stream that match a filter.
func (s *stand) each(t *testing.T, stream, filter string, read func(*jetstream.RawStreamMsg)) {
	t.Helper()
	for m, err := range (event.Log{JS: s.JetStream(t), Stream: stream}).Messages(t.Context(), filter, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		read(m)
	}
}

// buried returns the number of a stage's dead letters about a document.
func (s *stand) buried(t *testing.T, stage, document string) int {
	t.Helper()
	count := 0
	s.each(t, "DLQ", "dlq.v1."+stage, func(m *jetstream.RawStreamMsg) {
		if strings.HasSuffix(m.Header.Get("Signrelay-Dlq-Subject"), "."+document) {
			count++
		}
	})
	return count
}

// settled waits until this number of messages about a document is planned, and all of them have been sent or are dead letters.
func (s *stand) settled(t *testing.T, document string, planned int) {
	t.Helper()
	published := func(what string) int { return s.stored(t, "signing.v1.*.*.notification."+what+"."+document) }
	s.Until(t, fmt.Sprintf("%d messages about %s are planned", planned, document), func() bool {
		return published("requested")+published("suppressed") >= planned
	})
	s.Until(t, "the messages about "+document+" have been sent", func() bool {
		return published("sent")+published("failed")+s.buried(t, "shortener", document) >= published("requested")
	})
}

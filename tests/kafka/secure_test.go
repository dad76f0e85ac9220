package kafka_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/IBM/sarama"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/testenv"
)

// secured is a broker that also accepts authenticated connections: with a password at the address login, or with a certificate at the address mutual.
type secured struct {
	*broker
	login, mutual   string // addresses
	ca, stranger    string // PEM of the CA of the broker's certificate, and of another one
	certificate     string // PEM of a client certificate and its key
	key             string
	strangersClient [2]string // the same, signed by a CA that the broker does not trust
}

const password = "correct-horse"

// sharedSecured is sharedBroker for a test of the other listeners. Only a real broker has them.
func sharedSecured(t *testing.T) *secured {
	t.Helper()
	realtest.Server(t, "a Kafka broker")
	if missing := noBroker(); missing != nil {
		realtest.Missing(t, "only a real Kafka broker shows this: install Java 17 and Maven: %v", missing)
	}
	b := sharedBroker(t)
	s := *shared.secured
	s.broker = b
	return &s
}

// newSecured starts the shared broker. It outlives the test.
func newSecured(t testing.TB, folder func() string) *secured {
	t.Helper()
	ours, theirs := realtest.NewAuthority(t), realtest.NewAuthority(t)
	s := &secured{login: testenv.FreeAddress(t), mutual: testenv.FreeAddress(t), ca: ours.PEM, stranger: theirs.PEM}
	s.certificate, s.key = ours.Issue("signrelay")
	s.strangersClient[0], s.strangersClient[1] = theirs.Issue("signrelay")

	dir := folder()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	own, key := ours.Issue("broker")
	for name, text := range map[string]string{"broker.pem": key + own, "ca.pem": ours.PEM} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.broker = newRealBroker(t, fetched(t), folder, special{
		listeners: fmt.Sprintf(",LOGIN://%s,MUTUAL://%s", s.login, s.mutual),
		settings: fmt.Sprintf(`
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_SSL,MUTUAL:SSL
ssl.keystore.type=PEM
ssl.keystore.location=%[1]s/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=%[1]s/ca.pem
listener.name.mutual.ssl.client.auth=required
listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_signrelay="%[2]s";
listener.name.login.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
`, dir, password),
	})
	return s
}

// indented returns PEM indented for a block of YAML.
func indented(text string) string {
	return "|\n      " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n      ") + "\n"
}

// at is a log whose bridge connects to one of the broker's listeners, with a topic of its own.
func (s *secured) at(t *testing.T, listener, topic, more string) *bridged {
	t.Helper()
	kind := func(t testing.TB, _ func(*testenv.Env) string) *testenv.Env {
		return testenv.Infrastructure(t, func(*testenv.Env) string {
			return fmt.Sprintf("kafka:\n  brokers: [%q]\n  replication_factor: 1\n  partitions: 3\n  create_topic: true\n  topic: %s\n%s", listener, topic, more)
		})
	}
	return on(t, s.broker, kind, newTeam(t, s.broker, topic), "")
}

func TestBridgeAuthenticates(t *testing.T) {
	t.Parallel()
	s := sharedSecured(t)
	tls := "  tls:\n    enabled: true\n    ca: " + indented(s.ca)
	login := func(mechanism string) string {
		return tls + fmt.Sprintf("  sasl: {mechanism: %s, user: signrelay, password: %s}\n", mechanism, password)
	}
	client := []string{"SIGNRELAY_KAFKA_TLS_CERTIFICATE=" + s.certificate, "SIGNRELAY_KAFKA_TLS_KEY=" + s.key}
	wrongPassword := []string{"SIGNRELAY_KAFKA_SASL_PASSWORD=battery-staple"}
	wrongCA := "SIGNRELAY_KAFKA_TLS_CA=" + s.stranger
	type wrong struct {
		env  []string
		want string // in /readyz?verbose and in the log
	}
	for name, tt := range map[string]struct {
		listener, settings string
		right              []string
		wrong              map[string]wrong
	}{
		"scram-sha-512": {s.login, login("scram-sha-512"), nil, map[string]wrong{
			"another password": {wrongPassword, "SASL Authentication Failed"},
			"another CA":       {[]string{wrongCA}, "certificate"},
		}},
		"plain": {s.login, login("plain"), nil, map[string]wrong{
			"another password": {wrongPassword, "SASL Authentication Failed"},
		}},
		"certificate": {s.mutual, tls, client, map[string]wrong{
			"no certificate":         {nil, "certificate"},
			"a stranger's":           {[]string{"SIGNRELAY_KAFKA_TLS_CERTIFICATE=" + s.strangersClient[0], "SIGNRELAY_KAFKA_TLS_KEY=" + s.strangersClient[1]}, "certificate"},
			"another CA of brokers'": {append([]string{wrongCA}, client...), "certificate"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := s.at(t, tt.listener, name, tt.settings)
			for name, wrong := range tt.wrong {
				b.publish(10, 2)
				p := b.LaunchService(t, "kafka-bridge", name, wrong.env...)
				b.Until(t, name+": /readyz?verbose names it", func() bool { return strings.Contains(verbose(p), wrong.want) })
				b.Until(t, name+": the log names it", func() bool { return strings.Contains(p.Output(), wrong.want) })
				if b.Ready(t, name) == http.StatusOK {
					t.Errorf("%s: it is ready", name)
				}
				if status := p.Stop(); status != 0 {
					t.Errorf("%s: it ended with status %d", name, status)
				}
				for _, secret := range []string{password, "battery-staple", "PRIVATE KEY"} {
					if strings.Contains(p.Output(), secret) {
						t.Errorf("%s: the log contains a secret", name)
					}
				}
			}
			if got := b.team.distinct(); got != 0 {
				t.Errorf("%d events were written without access", got)
			}
			b.StartService(t, "kafka-bridge", "bridge", tt.right...)
			b.untilRead(b.published)
			b.inOrder()
		})
	}
}

// The bridge's permission to write is revoked and granted again.
func TestBridgeSurvivesRevokedAccess(t *testing.T) {
	t.Parallel()
	s := sharedSecured(t)
	const topic = "rights"
	b := s.at(t, s.login, topic, "  tls:\n    enabled: true\n    ca: "+indented(s.ca)+"  sasl: {mechanism: scram-sha-512, user: signrelay, password: "+password+"}\n")
	p := b.StartService(t, "kafka-bridge", "bridge")
	b.publish(100, 7)
	b.untilRead(100)

	admin, err := sarama.NewClusterAdmin([]string{s.addr}, settings())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	everybody := sarama.Acl{Principal: "User:*", Host: "*", Operation: sarama.AclOperationAll, PermissionType: sarama.AclPermissionAllow}
	denied := sarama.Acl{Principal: "User:signrelay", Host: "*", Operation: sarama.AclOperationWrite, PermissionType: sarama.AclPermissionDeny}
	resource := sarama.Resource{ResourceType: sarama.AclResourceTopic, ResourceName: topic, ResourcePatternType: sarama.AclPatternLiteral}
	if err := admin.CreateACLs([]*sarama.ResourceAcls{{Resource: resource, Acls: []*sarama.Acl{&everybody, &denied}}}); err != nil {
		t.Fatal(err)
	}
	b.publish(1000, 7)
	b.Until(t, "/readyz?verbose names the error", func() bool { return strings.Contains(verbose(p), "Topic Authorization Failed") })
	b.Until(t, "the log names the error", func() bool { return strings.Contains(p.Output(), "topic-authorization-failed") })
	user, name := denied.Principal, resource.ResourceName
	if _, err := admin.DeleteACL(sarama.AclFilter{
		ResourceType: sarama.AclResourceTopic, ResourceName: &name, ResourcePatternTypeFilter: sarama.AclPatternLiteral,
		Principal: &user, Operation: sarama.AclOperationWrite, PermissionType: sarama.AclPermissionDeny,
	}, false); err != nil {
		t.Fatal(err)
	}
	b.untilRead(b.published)
	b.inOrder()
	b.Until(t, "it is ready", func() bool { return b.Ready(t, "bridge") == http.StatusOK })
}

// verbose returns the body of /readyz?verbose; empty if there is no response.
func verbose(p *testenv.Process) string {
	resp, err := http.Get(p.AdminURL() + "/readyz?verbose")
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}

package kafkabridge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/signrelay/signrelay/libs/config"
)

func TestWhoWeAreToTheBrokers(t *testing.T) {
	t.Parallel()
	for mechanism, theirs := range map[string]string{
		"plain": "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512",
	} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			kafka := newBrokers(t, kfake.EnableSASL(), kfake.Superuser(theirs, "signrelay", "hunter2")).start()
			settings := kafka.settings()
			settings.Kafka.SASL = config.KafkaSASL{Mechanism: mechanism, User: "signrelay", Password: "hunter2"}
			h := setup(t, settings)
			h.publish(3, 1)
			right := h.replica()
			h.until("the events are written", func() bool { return value(t, right.metrics, "signrelay_kafka_records_total") == 3 })
			right.stop()

			h.Env.Config.Kafka.SASL.Password = "hunter3"
			h.publish(3, 1)
			wrong := h.replica()
			h.until("it says that it is not let in", func() bool { return wrong.check(t.Context()) != nil })
			if got := value(t, wrong.metrics, "signrelay_kafka_records_total"); got != 0 {
				t.Errorf("%v written with a wrong password", got)
			}
			h.NeverLogged("hunter2", "hunter3")
		})
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	certificate, ca := certificate(t)
	kafka := newBrokers(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})).start()
	settings := kafka.settings()
	settings.Kafka.TLS = config.KafkaTLS{Enabled: true}
	h := setup(t, settings)
	h.publish(3, 1)
	stranger := h.replica()
	h.until("it does not believe a stranger's certificate", func() bool {
		err := stranger.check(t.Context())
		return err != nil && strings.Contains(err.Error(), "certificate")
	})
	stranger.stop()

	h.Env.Config.Kafka.TLS.CA = ca
	friend := h.replica()
	h.until("the events are written", func() bool { return value(t, friend.metrics, "signrelay_kafka_records_total") == 3 })
}

// certificate is one for 127.0.0.1, and PEM of who signed it: itself.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kafka.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

package kafkabridge

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/servicetest"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

func TestAuthentication(t *testing.T) {
	t.Parallel()
	for mechanism, theirs := range map[string]string{
		"plain": "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512",
	} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			kafka := newBrokers(t, kfake.EnableSASL(), kfake.Superuser(theirs, "signrelay", "hunter2")).start()
			cfg := kafka.settings()
			kafkasettings.Section.In(&cfg).SASL = kafkasettings.SASL{Mechanism: mechanism, User: "signrelay", Password: "hunter2"}
			h := setup(t, cfg)
			h.publish(3, 1)
			right := h.replica()
			h.until("the events are written", func() bool { return value(t, right.metrics, "signrelay_kafka_records_total") == 3 })
			right.stop()

			kafkasettings.Section.In(&h.Env.Config).SASL.Password = "hunter3"
			h.publish(3, 1)
			wrong := h.replica()
			h.until("it reports that its password is wrong", func() bool { return wrong.check(t.Context()) != nil })
			if got := value(t, wrong.metrics, "signrelay_kafka_records_total"); got != 0 {
				t.Errorf("%v written with a wrong password", got)
			}
			h.NeverLogged("hunter2", "hunter3")
		})
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	authority := realtest.NewAuthority(t)
	kafka := newBrokers(t, kfake.TLS(authority.Server(false))).start()
	cfg := kafka.settings()
	kafkasettings.Section.In(&cfg).TLS = kafkasettings.TLS{Enabled: true}
	h := setup(t, cfg)
	h.publish(3, 1)
	stranger := h.replica()
	h.until("it rejects an unknown authority's certificate", func() bool {
		err := stranger.check(t.Context())
		return err != nil && strings.Contains(err.Error(), "certificate")
	})
	stranger.stop()

	kafkasettings.Section.In(&h.Env.Config).TLS.CA = authority.PEM
	friend := h.replica()
	h.until("the events are written", func() bool { return value(t, friend.metrics, "signrelay_kafka_records_total") == 3 })
}

// The files with the brokers' authority and our password are replaced while the bridge runs. Then the waiting events are written.
func TestCredentialsAreRotated(t *testing.T) {
	t.Parallel()
	authority := realtest.NewAuthority(t)
	kafka := newBrokers(t, kfake.TLS(authority.Server(false)), kfake.EnableSASL(), kfake.Superuser("PLAIN", "signrelay", "right")).start()
	cfg, files := servicetest.Load(t, "", map[string]string{"KAFKA_TLS_CA": realtest.NewAuthority(t).PEM, "KAFKA_SASL_PASSWORD": "wrong"},
		"SIGNRELAY_KAFKA_TLS_ENABLED=true", "SIGNRELAY_KAFKA_SASL_MECHANISM=plain", "SIGNRELAY_KAFKA_SASL_USER=signrelay")
	base := kafka.settings()
	of := kafkasettings.Section.In(&base)
	of.TLS, of.SASL = kafkasettings.Section.Of(cfg).TLS, kafkasettings.Section.Of(cfg).SASL
	*kafkasettings.Section.In(&cfg) = *of
	h := setup(t, cfg)
	h.publish(3, 1)
	r := h.replica()
	h.until("it rejects the brokers' certificate", func() bool {
		err := r.check(t.Context())
		return err != nil && strings.Contains(err.Error(), "kafka.tls.ca lacks the authority")
	})
	files.Replace(r.live, "KAFKA_TLS_CA", authority.PEM)
	h.until("the brokers refuse its password", func() bool {
		err := r.check(t.Context())
		return err != nil && !strings.Contains(err.Error(), "kafka.tls") // this broker closes the connection without a response
	})
	if got := value(t, r.metrics, "signrelay_kafka_records_total"); got != 0 {
		t.Errorf("%v written before the login", got)
	}
	files.Replace(r.live, "KAFKA_SASL_PASSWORD", "right")
	h.until("the events are written", func() bool { return value(t, r.metrics, "signrelay_kafka_records_total") == 3 })
}

package testenv

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/signrelay/signrelay/libs/realtest"
)

// Kafka starts a broker that ends with the test.
func Kafka(t testing.TB, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	realtest.Server(t, "a Kafka protocol server")
	kafka, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	return kafka
}

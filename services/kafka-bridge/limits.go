package kafkabridge

import (
	"time"

	"github.com/signrelay/signrelay/libs/stage"
)

// limits are the times that tests shorten. A zero is replaced by its default.
type limits struct {
	// respond limits a write. The client tells the broker to wait half of it for its replicas.
	respond time.Duration
	// metadata is the time for which the client caches the cluster's metadata. After a broker's restart, or when the topic appears, an
	// attempt succeeds after at most this time.
	metadata time.Duration
	// login limits the exchange on a connection before its first request: TLS, and then SASL.
	login  time.Duration
	runner stage.Limits
}

func (l limits) orDefault() limits {
	if l.respond == 0 {
		l.respond = 10 * time.Second
	}
	if l.metadata == 0 {
		l.metadata = 2 * time.Second
	}
	if l.login == 0 {
		l.login = 5 * time.Second
	}
	return l
}

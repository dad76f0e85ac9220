package stage

import (
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
)

// Runner runs one stage: it takes inputs from the stage's durable consumer, has them done, and answers the broker.
type Runner[In any] struct {
	Stage  flow.Stage
	JS     jetstream.JetStream
	Decode func(data []byte) (In, error)
	Do     Func[In]
	// GivenUp says what follows when an input is given up (notification.failed); nil where nothing does.
	GivenUp func(in Event[In], reason error) []Out
	// Claims is the memory of an effect stage; nil for a stage without an effect.
	Claims  dedupe.Store
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

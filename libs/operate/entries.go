package operate

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// entries yields the entries of JOBS whose keys begin with a prefix. It asks the server directly: a service may not create a consumer, which a
// watch would need.
func (o *Operator) entries(ctx context.Context, prefix string) iter.Seq2[*jetstream.RawStreamMsg, error] {
	log := event.Log{JS: o.JS, Stream: "KV_" + flow.Jobs}
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		for m, err := range log.Messages(ctx, "$KV."+flow.Jobs+"."+prefix+">", time.Time{}) {
			if err != nil {
				yield(nil, fmt.Errorf("read bucket %s: %w", flow.Jobs, err))
				return
			}
			if m.Header.Get("KV-Operation") == "" && m.Header.Get(jetstream.MarkerReasonHeader) == "" && !yield(m, nil) {
				return
			}
		}
	}
}

func (o *Operator) signing() event.Log { return event.Log{JS: o.JS, Stream: flow.Signing} }

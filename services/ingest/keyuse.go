package ingest

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
)

// keyUses records in STATE which key of a source last verified a callback, so that an operator sees which old secrets can be removed. It writes at
// most once a minute for each key. The keys in the settings bound its memory.
type keyUses struct {
	mu   sync.Mutex
	last map[string]time.Time // by entry
}

// used records that a key verified a callback now. It does not wait: a lost record is made up by the next callback.
func (k *keyUses) used(ctx context.Context, env service.Env, provider, source string, key pack.Key) {
	entry, now := flow.KeyUseOf(provider, source, key.Setting), time.Now()
	k.mu.Lock()
	due := now.Sub(k.last[entry]) >= flow.KeyUseEvery
	if due {
		if k.last == nil {
			k.last = map[string]time.Time{}
		}
		k.last[entry] = now
	}
	k.mu.Unlock()
	if !due {
		return
	}
	data, err := json.Marshal(flow.KeyUse{Setting: key.Setting, Fingerprint: key.Fingerprint, At: now.UTC()})
	if err == nil {
		err = env.NATS.Publish("$KV."+flow.State+"."+entry, data)
	}
	if err != nil {
		env.Log.DebugContext(ctx, "the use of a key was not recorded", "error", err)
	}
}

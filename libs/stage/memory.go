package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

// memoryFor limits the time of one call to the dedupe store.
const memoryFor = 3 * time.Second

func claim(ctx context.Context, memory dedupe.Store, owner, id string) (dedupe.Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, memoryFor)
	defer cancel()
	found, err := memory.Claim(ctx, owner, id)
	if err != nil {
		return dedupe.Claim{}, err
	}
	return found[0], nil
}

// confirmFor is the time for which a worker waits for an unavailable dedupe store before it continues without it.
const confirmFor = 40 * time.Second

// confirm records the completed work, and retries with the stage's backoff while the lease holds, for at most Timeout and confirmFor. It
// tries at least once, even if the lease is lost, because the effect has happened.
func confirm(ctx context.Context, s flow.Stage, memory dedupe.Store, it dedupe.Done) error {
	ctx, cancel := context.WithTimeout(ctx, min(s.Timeout, confirmFor))
	defer cancel()
	for n := 1; ; n++ {
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), memoryFor)
		err := memory.Confirm(try, it)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(backoff(s.Policy, n)):
		}
	}
}

// giveBack releases the claim after a failed attempt. If an earlier attempt left the outcome unknown, it remains unknown, because this
// failure says nothing about the earlier attempt.
func giveBack(ctx context.Context, memory dedupe.Store, owner string, a *attempt, failure error) error {
	how := dedupe.Undone
	if a.unknown || outcome.Of(failure).Unknown() {
		how = dedupe.Unknown
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), memoryFor)
	defer cancel()
	if err := memory.Release(ctx, owner, how, a.input.ID); err != nil {
		return fmt.Errorf("release the claim: %w", err)
	}
	return nil
}

// remembered is an output as it is stored with the confirmation.
type remembered struct {
	Subject string      `json:"s"`
	Header  nats.Header `json:"h"`
	Data    []byte      `json:"d"`
}

// keeping is how a stage stores its outputs with a confirmation. Its functions may be nil; see Runner.Keep and Runner.Rebuild.
type keeping struct {
	keep    func(outs []Out) []byte
	rebuild func(ctx context.Context, a *attempt, kept []byte) ([]Out, error)
}

// keptMark begins the data of Runner.Keep. Stored outputs begin with "[".
const keptMark = 1

// pack returns the data from which unpack makes the outputs: what Keep returned, if Rebuild makes the same outputs of it, else the outputs
// themselves.
func (k keeping) pack(ctx context.Context, a *attempt, outs []Out) []byte {
	if k.keep != nil && k.rebuild != nil {
		if kept := k.keep(outs); kept != nil {
			if rebuilt, err := k.rebuild(ctx, a, kept); err == nil && slices.EqualFunc(rebuilt, outs, sameOut) {
				return append([]byte{keptMark}, kept...)
			}
		}
	}
	all := make([]remembered, len(outs))
	for i, out := range outs {
		all[i] = remembered{out.Subject, out.Header, out.Data}
	}
	packed, _ := json.Marshal(all) //nolint:errchkjson // strings and bytes always encode
	return packed
}

// sameOut reports whether two outputs are the same message. Their traces may differ.
func sameOut(a, b Out) bool {
	return a.Subject == b.Subject && bytes.Equal(a.Data, b.Data) &&
		maps.EqualFunc(withoutTrace(a.Header), withoutTrace(b.Header), slices.Equal)
}

func withoutTrace(h nats.Header) nats.Header {
	h = maps.Clone(h)
	for _, name := range otel.GetTextMapPropagator().Fields() {
		delete(h, name)
	}
	return h
}

func (k keeping) unpack(ctx context.Context, a *attempt, packed []byte) ([]Out, error) {
	if len(packed) > 0 && packed[0] == keptMark && k.rebuild != nil {
		outs, err := k.rebuild(ctx, a, packed[1:])
		if err != nil {
			return nil, outcome.Away("memory-unreadable", fmt.Errorf("make the stored outputs again: %w", err))
		}
		return outs, nil
	}
	var all []remembered
	if len(packed) > 0 {
		if err := json.Unmarshal(packed, &all); err != nil {
			return nil, outcome.Away("memory-unreadable", fmt.Errorf("read the stored outputs: %w", err))
		}
	}
	outs := make([]Out, len(all))
	for i, it := range all {
		outs[i] = &nats.Msg{Subject: it.Subject, Header: it.Header, Data: it.Data}
	}
	return outs, nil
}

package ingest_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/ingest"
)

// panicking returns packs with a fault: they panic over a body that names the step, such as "panic-at-items".
func panicking() []pack.Pack {
	var packs []pack.Pack
	for _, p := range providers.All {
		open := p.Webhook
		p.Webhook = func(s config.Source) (pack.Webhook, error) {
			w, err := open(s)
			if batches, ok := w.(pack.Batches); ok {
				return panickingBatches{batches}, err
			}
			return panickingWebhook{w}, err
		}
		packs = append(packs, p)
	}
	return packs
}

func fault(r pack.Request, trigger string) {
	if bytes.Contains(r.Body, []byte(trigger)) {
		panic("the pack has a fault")
	}
}

type panickingWebhook struct{ pack.Webhook }

func (w panickingWebhook) Normalize(r pack.Request, v signingv1.Verification) ([]*signingv1.SigningEvent, error) {
	fault(r, "panic-at-reading")
	return w.Webhook.Normalize(r, v)
}

type panickingBatches struct{ pack.Batches }

func (w panickingBatches) Normalize(r pack.Request, v signingv1.Verification) ([]*signingv1.SigningEvent, error) {
	fault(r, "panic-at-reading")
	return w.Batches.Normalize(r, v)
}

func (w panickingBatches) Items(r pack.Request) ([]pack.Request, error) {
	fault(r, "panic-at-items")
	return w.Batches.Items(r)
}

func (w panickingBatches) Holds(batch, item pack.Request) bool {
	fault(item, "panic-at-comparing")
	return w.Batches.Holds(batch, item)
}

// If a pack panics, a live callback goes to the quarantine, and a replayed one stays there. The panic ends neither ingest nor the replay.
func TestAPackThatPanicsLosesNoCallback(t *testing.T) {
	t.Parallel()
	h := openWith(t, ingest.RunWith(panicking()))
	if got := h.post(t, "/webhooks/clickwrap/acme", strings.Replace(requestSent, "PactSafe sent", "panic-at-reading", 1)); got.status != 202 || got.body["reason"] != "pack-panicked" {
		t.Errorf("a live callback: %d %v", got.status, got.body)
	}
	batch := "[" + signed("g0") + "," + strings.Replace(signed("g1"), "g1", "panic-at-reading", 1) + "]"
	if got := h.all(t, batch); got.status != 202 || got.body["status"] != "accepted" || got.body["quarantined"] == nil {
		t.Errorf("a live batch: %d %v", got.status, got.body)
	}
	if got := h.all(t, "["+strings.Replace(signed("g2"), "g2", "panic-at-items", 1)+"]"); got.body["reason"] != "pack-panicked" {
		t.Errorf("a live batch that cannot be split: %d %v", got.status, got.body)
	}
	all := h.quarantined(t)
	if len(all) != 3 {
		t.Fatalf("the quarantine holds %d, want 3", len(all))
	}
	for _, kept := range all {
		replayed, err := ingest.ReplayWith(t.Context(), h.env, panicking(), kept.Header, kept.Data, ingest.Repair{})
		if why := new(pack.UnreadableError); !errors.As(err, &why) || why.Reason != "pack-panicked" {
			t.Errorf("%v, %v", replayed, err)
		}
	}
	// The pack also compares a repaired batch with the stored one. Only the item on which it panics stays.
	repaired := "data=" + url.QueryEscape("["+signed("g3")+","+strings.Replace(signed("g4"), "g4", "panic-at-comparing", 1)+"]")
	replayed, err := ingest.ReplayWith(t.Context(), h.env, panicking(), all[2].Header, all[2].Data, body(repaired))
	if err != nil || len(replayed.IDs) != 1 || len(replayed.Quarantined) != 1 || replayed.Quarantined[0] != (ingest.QuarantinedItem{Item: 1, Reason: "pack-panicked"}) {
		t.Errorf("%v, %v", replayed, err)
	}
	// A control: packs without the fault store these callbacks.
	for _, kept := range all {
		if replayed, err := ingest.Replay(t.Context(), h.env, kept.Header, kept.Data, ingest.Repair{}); err != nil || len(replayed.IDs) != 1 {
			t.Errorf("%v, %v", replayed, err)
		}
	}
}

// A pack that panics on a source's settings does not end a replay.
func TestAPackThatPanicsOverSettingsEndsNoReplay(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.post(t, "/webhooks/clickwrap/acme", "{")
	kept := h.quarantined(t)[0]
	packs := []pack.Pack{{Name: "clickwrap", Webhook: func(config.Source) (pack.Webhook, error) { panic("the pack has a fault") }}}
	if _, err := ingest.ReplayWith(t.Context(), h.env, packs, kept.Header, kept.Data, body(requestSent)); err == nil || !strings.Contains(err.Error(), "pack-panicked") {
		t.Errorf("%v", err)
	}
}

// A replay also refuses a callback that is larger than the current limit.
func TestAReplayRefusesATooLargeCallback(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.post(t, "/webhooks/clickwrap/acme", "{")
	h.send(t, "GET", "/webhooks/clickwrap/acme?id=1;2", http.Header{"Pactsafe-Webhook-Token": {"12345"}}, nil)
	all := h.quarantined(t)
	spaces := strings.Repeat(" ", 1<<20)
	for name, replay := range map[string]func() (ingest.Replayed, error){
		"the kept body": func() (ingest.Replayed, error) {
			return ingest.Replay(t.Context(), h.env, all[0].Header, []byte(spaces+requestSent), ingest.Repair{})
		},
		"a repaired body": func() (ingest.Replayed, error) {
			return ingest.Replay(t.Context(), h.env, all[0].Header, all[0].Data, body(requestSent+spaces))
		},
		"a repaired query": func() (ingest.Replayed, error) {
			return ingest.Replay(t.Context(), h.env, all[1].Header, all[1].Data, query("event_type=request_signed&id=s1&request=RS&signer=S1&x="+strings.Repeat("x", 1<<20)))
		},
	} {
		replayed, err := replay()
		if why := new(pack.UnreadableError); !errors.As(err, &why) || why.Reason != "too-large" {
			t.Errorf("%s: %v, %v", name, replayed, err)
		}
	}
	if stored := h.stored(t, "signing.v1.>"); len(stored) != 0 {
		t.Errorf("the log holds %v", stored)
	}
}

package doctor

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// tester makes test callbacks of one source, each another event.
type tester struct {
	source  config.Source
	pack    pack.Pack
	webhook pack.Webhook
	sample  pack.Sample
	id      string // the provider's id of the event, as it stands in the sample
}

// testers are those of all sources whose provider has a test event that can be signed without the provider's own key.
func testers(sources []config.Source) []tester {
	var all []tester
	for _, s := range sources {
		if p, known := providers.ByName(s.Provider); known {
			if t, found := testerOf(s, p); found {
				all = append(all, t)
			}
		}
	}
	return all
}

func testerOf(s config.Source, p pack.Pack) (tester, bool) {
	webhook, err := p.Webhook(s)
	if err != nil {
		return tester{}, false
	}
	files, err := fs.Glob(p.Samples, "*.http")
	if err != nil {
		return tester{}, false
	}
	for _, file := range files {
		sample, err := pack.ReadSample(p.Samples, strings.TrimSuffix(file, ".http"))
		if err != nil {
			continue
		}
		t := tester{source: s, pack: p, webhook: webhook, sample: sample}
		e, err := t.read(sample.Request)
		if err != nil || e.GetType() != event.EndpointTested || e.GetProviderEventId() == "" || !bytes.Contains(sample.Request.Body, []byte(e.GetProviderEventId())) {
			continue
		}
		t.id = e.GetProviderEventId()
		if _, _, err := t.next(); err == nil {
			return t, true
		}
	}
	return tester{}, false
}

// read is the sample's one event. A sample of more is no test event.
func (t tester) read(r pack.Request) (*signingv1.SigningEvent, error) {
	r.ReceivedAt = time.Now()
	events, err := t.webhook.Normalize(r, signingv1.Verification_VERIFICATION_NONE)
	if err != nil {
		return nil, err
	}
	if len(events) != 1 {
		return nil, fmt.Errorf("%d events", len(events))
	}
	return events[0], nil
}

// next is a new test event, as the provider would send it, and where it stands in the log.
func (t tester) next() (pack.Request, mark, error) {
	var id [12]byte
	_, _ = rand.Read(id[:]) // never fails
	r := t.sample.Request
	r.Body = bytes.ReplaceAll(r.Body, []byte(t.id), []byte(hex.EncodeToString(id[:])))
	r, err := t.pack.Sign(t.source, nil, r)
	if err != nil {
		return pack.Request{}, mark{}, err
	}
	if _, err := t.webhook.Verify(r); err != nil {
		return pack.Request{}, mark{}, err
	}
	e, err := t.read(r)
	if err != nil {
		return pack.Request{}, mark{}, err
	}
	if e.GetType() != event.EndpointTested {
		return pack.Request{}, mark{}, fmt.Errorf("a test event became %s", e.GetType())
	}
	return r, mark{subject: event.Subject(e), id: e.GetId()}, nil
}

// mark is where an event is found in the log.
type mark struct{ subject, id string }

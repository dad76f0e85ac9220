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

// generator makes test callbacks for one source. Each is a new event.
type generator struct {
	source  config.Source
	pack    pack.Pack
	webhook pack.Webhook
	sample  pack.Sample
	id      string // the provider's id of the event in the sample
}

// generators returns a generator for each source whose provider has a test event that can be signed without the provider's own key.
func generators(sources []config.Source) []generator {
	var all []generator
	for _, s := range sources {
		if p, known := providers.ByName(s.Provider); known {
			if t, found := generatorOf(s, p); found {
				all = append(all, t)
			}
		}
	}
	return all
}

func generatorOf(s config.Source, p pack.Pack) (generator, bool) {
	webhook, err := p.Webhook(s)
	if err != nil {
		return generator{}, false
	}
	files, err := fs.Glob(p.Samples, "*.http")
	if err != nil {
		return generator{}, false
	}
	for _, file := range files {
		sample, err := pack.ReadSample(p.Samples, strings.TrimSuffix(file, ".http"))
		if err != nil {
			continue
		}
		t := generator{source: s, pack: p, webhook: webhook, sample: sample}
		e, err := t.read(sample.Request)
		if err != nil || e.GetType() != event.EndpointTested || e.GetProviderEventId() == "" || !bytes.Contains(sample.Request.Body, []byte(e.GetProviderEventId())) {
			continue
		}
		t.id = e.GetProviderEventId()
		if _, _, err := t.next(); err == nil {
			return t, true
		}
	}
	return generator{}, false
}

// read returns the event of a sample. A test event's sample contains exactly one.
func (t generator) read(r pack.Request) (*signingv1.SigningEvent, error) {
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

// next returns a new test callback, signed as the provider signs, and its place in the log.
func (t generator) next() (pack.Request, mark, error) {
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

// mark is the place of an event in the log.
type mark struct{ subject, id string }

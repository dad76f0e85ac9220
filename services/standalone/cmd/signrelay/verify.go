package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/printable"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/ingest"
)

// verify checks the signatures of kept callbacks again.
func verify(ctx context.Context, c *call) error {
	name, err := c.argument("an event's id, or a document's id at its provider")
	if err != nil {
		return err
	}
	env, done, err := open(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	v := verifier{env: env, packs: c.packs, log: event.Log{JS: env.JS, Stream: flow.Signing}, seen: map[string]int{}}
	if err := v.find(ctx, name); err != nil {
		return err
	}
	if len(v.all) == 0 {
		return fmt.Errorf("the log has no callback of an event or a document %s", printable.Line(event.Public(name)))
	}
	wrong := 0
	for _, one := range v.all {
		if one.Result == pack.SignatureInvalid {
			wrong++
		}
		if c.json() {
			err = errors.Join(err, printJSON(c.stdout, one))
			continue
		}
		err = errors.Join(err, c.say("%s  %-17s  %-22s  %s%s", one.Received.UTC().Format(time.RFC3339), one.Result, one.Source+"/"+one.Provider, one.detail(), one.reported()))
	}
	if wrong > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %s: the signature does not verify", wrong, count(len(v.all), "callback")))
	}
	return err
}

// checkedCallback is the check of one callback.
type checkedCallback struct {
	Callback       string           `json:"callback,omitempty"`
	Source         string           `json:"source"`
	Provider       string           `json:"provider"`
	Received       time.Time        `json:"received_at"`
	Result         pack.CheckResult `json:"result"`
	Reason         string           `json:"reason,omitempty"`
	Key            string           `json:"key,omitempty"` // that verifies it today
	KeyThen        string           `json:"key_then,omitempty"`
	FingerprintNow string           `json:"key_fingerprint,omitempty"`
	Fingerprint    string           `json:"key_then_fingerprint,omitempty"`
	SameKey        bool             `json:"same_key"`
	Events         []string         `json:"events"`
	Types          []string         `json:"types"`
}

func (k checkedCallback) detail() string {
	switch {
	case k.Result != pack.SignatureValid:
		return k.Reason
	case k.SameKey:
		return fmt.Sprintf("with the same key as then, %s %s", k.Key, k.FingerprintNow)
	default:
		return fmt.Sprintf("with another key, %s %s; then it was %s %s", k.Key, k.FingerprintNow, k.KeyThen, k.Fingerprint)
	}
}

func (k checkedCallback) reported() string {
	var text strings.Builder
	for i, id := range k.Events {
		text.WriteString("  " + k.Types[i] + " " + id)
	}
	return text.String()
}

// verifier checks each callback once.
type verifier struct {
	env   service.Env
	packs []pack.Pack
	log   event.Log
	all   []checkedCallback
	seen  map[string]int // the place in all, by the callback's id
}

var eventID = regexp.MustCompile(`^[0-9a-v]{26}$`)

// find checks the callbacks of a document; if there is no such document, that of an event, for which the whole log is read.
func (v *verifier) find(ctx context.Context, name string) error {
	for m, err := range v.log.Narrow(ctx, event.DocumentFilter(name)) {
		if err == nil {
			err = v.check(ctx, m.Data, m.Time)
		}
		if err != nil {
			return err
		}
	}
	if len(v.all) > 0 || !eventID.MatchString(name) {
		return nil
	}
	for m, err := range v.log.Messages(ctx, event.Everything, time.Time{}) {
		if err != nil {
			return err
		}
		if m.Header.Get("Nats-Msg-Id") == name {
			return v.check(ctx, m.Data, m.Time)
		}
	}
	return nil
}

func (v *verifier) check(ctx context.Context, data []byte, stored time.Time) error {
	e, err := event.Decode(data)
	if err != nil {
		return err
	}
	if e.GetVerification() == signingv1.Verification_VERIFICATION_INTERNAL {
		return nil // Signrelay made it
	}
	id := e.GetCallback().GetId()
	if at, known := v.seen[id]; known && id != "" {
		v.all[at].Events, v.all[at].Types = append(v.all[at].Events, e.GetId()), append(v.all[at].Types, e.GetType())
		return nil
	}
	kept, err := v.log.Callback(ctx, e, stored)
	if err != nil {
		return err
	}
	is, err := ingest.CheckSignature(ctx, v.env, v.packs, e, kept)
	if err != nil {
		return err
	}
	v.seen[id] = len(v.all)
	v.all = append(v.all, checkedCallback{
		Callback: id, Source: e.GetSource(), Provider: e.GetProvider(), Received: arrival(e, stored), Result: is.Result, Reason: is.Reason,
		Key: is.Now.Setting, FingerprintNow: is.Now.Fingerprint, KeyThen: is.Then.Setting, Fingerprint: is.Then.Fingerprint,
		SameKey: is.Result == pack.SignatureValid && is.SameKey(), Events: []string{e.GetId()}, Types: []string{e.GetType()},
	})
	return nil
}

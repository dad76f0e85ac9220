package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Headers of a quarantined callback; its payload is the body, byte for byte.
const (
	HeaderSource       = "Signrelay-Source"
	HeaderProvider     = "Signrelay-Provider"
	HeaderMethod       = "Signrelay-Method"
	HeaderDoor         = "Signrelay-Door"
	HeaderQuery        = "Signrelay-Query"
	HeaderHeader       = "Signrelay-Header" // JSON
	HeaderVerification = "Signrelay-Verification"
	HeaderReceivedAt   = "Signrelay-Received-At"
	HeaderReason       = "Signrelay-Reason"
	HeaderDetail       = "Signrelay-Detail"
)

// longestHeaders bounds the kept request headers, in bytes. The server takes 64 KiB of headers in all; beside these there is
// the query, which a request has room for 32 KiB of.
const longestHeaders = 16 << 10

// quarantine keeps an authentic callback that nobody could read, so that a later version or a repaired body brings it in.
func (d *doors) quarantine(
	ctx context.Context, r pack.Request, src source, v signingv1.Verification, why *pack.UnreadableError,
) answer {
	msg, err := quarantineMessage(r, src.settings, v, why)
	if err != nil {
		return unavailable("not-encoded", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putWithin)
	defer cancel()
	if _, err := d.env.JS.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0)); err != nil {
		return unavailable("log-away", fmt.Errorf("quarantine: %w", err))
	}
	a := quarantined(why.Reason)
	a.err = why
	return a
}

func quarantineMessage(r pack.Request, src config.Source, v signingv1.Verification, why *pack.UnreadableError) (*nats.Msg, error) {
	header, query := withoutSecrets(r, src)
	headerJSON, err := json.Marshal(header)
	if err != nil {
		return nil, fmt.Errorf("encode headers: %w", err)
	}
	if len(headerJSON) > longestHeaders {
		// What a pack reads of them is short; the rest is the sender's own affair.
		if headerJSON, err = json.Marshal(http.Header{"Content-Type": header.Values("Content-Type")}); err != nil {
			return nil, fmt.Errorf("encode headers: %w", err)
		}
	}
	sum := sha256.New()
	for _, part := range []string{src.Provider, src.Name, r.Method, r.Door, query} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	sum.Write(r.Body)
	return &nats.Msg{
		Subject: "quarantine.v1." + src.Name + "." + src.Provider + "." + why.Reason,
		Header: nats.Header{
			"Nats-Msg-Id":      {hex.EncodeToString(sum.Sum(nil)[:16])},
			HeaderSource:       {src.Name},
			HeaderProvider:     {src.Provider},
			HeaderMethod:       {r.Method},
			HeaderDoor:         {r.Door},
			HeaderQuery:        {query},
			HeaderHeader:       {string(headerJSON)},
			HeaderVerification: {strconv.Itoa(int(v))},
			HeaderReceivedAt:   {r.ReceivedAt.Format(time.RFC3339Nano)},
			HeaderReason:       {why.Reason},
			HeaderDetail:       {why.Detail},
		},
		Data: r.Body,
	}, nil
}

// withoutSecrets is the request's headers, and its query as it came, without anything that holds what authenticates the
// source: what is kept for 30 days must not hold the keys to the door. Proxies repeat the query in headers of their own.
func withoutSecrets(r pack.Request, src config.Source) (header http.Header, query string) {
	secret := func(text string) bool {
		for _, s := range slices.Concat(src.Webhook.Secrets, src.Webhook.Tokens()) {
			if s != "" && (strings.Contains(text, s) || strings.Contains(text, url.QueryEscape(s))) {
				return true
			}
		}
		return false
	}
	header = make(http.Header, len(r.Header))
	for name, values := range r.Header {
		if name != "Authorization" && name != "Proxy-Authorization" && name != "Cookie" && !slices.ContainsFunc(values, secret) {
			header[name] = values
		}
	}
	pairs := slices.DeleteFunc(strings.Split(r.RawQuery, "&"), secret)
	return header, strings.Join(pairs, "&")
}

// RepairedAttribute marks events whose callback's body an operator repaired; their verification is none.
const RepairedAttribute = "signrelay.repaired"

// Replay brings a quarantined callback in: its pack reads it anew, and its events are stored like those of any callback. It
// returns their ids. With repaired, body is not the kept one but an operator's. What still cannot be read is a
// *pack.UnreadableError.
func Replay(ctx context.Context, env service.Env, h nats.Header, body []byte, repaired bool) ([]string, error) {
	p, known := providers.ByName(h.Get(HeaderProvider))
	if !known {
		return nil, fmt.Errorf("no provider %q", h.Get(HeaderProvider))
	}
	sources, err := sourcesOf(p, env.Config.Sources)
	if err != nil {
		return nil, err
	}
	src, known := sources[h.Get(HeaderSource)]
	if !known {
		return nil, fmt.Errorf("the settings name no source %s/%s any more", h.Get(HeaderProvider), h.Get(HeaderSource))
	}
	r, v, err := quarantinedRequest(h, body)
	if err != nil {
		return nil, err
	}
	if repaired {
		v = signingv1.Verification_VERIFICATION_NONE // nobody vouches for what an operator wrote
	}
	events, err := src.webhook.Normalize(r, v)
	switch {
	case errors.Is(err, pack.ErrNothing):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if repaired {
		for _, e := range events {
			if e.Attributes == nil {
				e.Attributes = map[string]string{}
			}
			e.Attributes[RepairedAttribute] = "true"
		}
	}
	m, err := newMetrics(env.Metrics)
	if err != nil {
		return nil, err
	}
	a := newStore(env, m).putLate(ctx, events)
	if a.outcome != "accepted" && a.outcome != "duplicate" {
		return nil, fmt.Errorf("store: %s: %w", a.reason, a.err)
	}
	return a.ids, nil
}

func quarantinedRequest(h nats.Header, body []byte) (pack.Request, signingv1.Verification, error) {
	r := pack.Request{Method: h.Get(HeaderMethod), Door: h.Get(HeaderDoor), RawQuery: h.Get(HeaderQuery), Body: body}
	var err error
	if r.Query, err = pack.ParseForm(r.RawQuery); err != nil && r.Method == http.MethodGet {
		return r, 0, errQuery
	}
	if err := json.Unmarshal([]byte(h.Get(HeaderHeader)), &r.Header); err != nil {
		return r, 0, fmt.Errorf("read kept headers: %w", err)
	}
	if r.ReceivedAt, err = time.Parse(time.RFC3339Nano, h.Get(HeaderReceivedAt)); err != nil {
		return r, 0, fmt.Errorf("read kept time: %w", err)
	}
	v, err := strconv.ParseInt(h.Get(HeaderVerification), 10, 32)
	if err != nil {
		return r, 0, fmt.Errorf("read kept verification: %w", err)
	}
	return r, signingv1.Verification(v), nil
}

package registration

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// Arrived is the result of one test callback.
type Arrived struct {
	Route    string        // "" or "/all"
	Event    string        // the id of its event in the log
	Accepted time.Duration // from the request to the response
	Stored   time.Duration // from the request until the log had the event
}

// The time limits of a test callback.
const (
	acceptWithin = 15 * time.Second
	storeWithin  = 10 * time.Second
	look         = 50 * time.Millisecond
)

// Test sends a test callback to each route, as the provider would, and waits until the log has its event. key is the provider's key; nil outside
// of the sandbox. The error says which part of the way is broken.
func (s Source) Test(ctx context.Context, js jetstream.JetStream, key *rsa.PrivateKey) ([]Arrived, error) {
	requests, err := s.Pack.Test(s.Settings, pack.Test{ID: "signrelay-test-" + dedupe.NewOwner(), Now: time.Now(), Key: key})
	if err != nil {
		return nil, err
	}
	var all []Arrived
	for _, r := range requests {
		arrived, err := s.test(ctx, js, r)
		if err != nil {
			return all, fmt.Errorf("%s%s: %w", s.Address, r.Route, err)
		}
		all = append(all, arrived)
	}
	return all, nil
}

func (s Source) test(ctx context.Context, js jetstream.JetStream, r pack.Request) (Arrived, error) {
	began := time.Now()
	ids, err := s.send(ctx, r)
	if err != nil {
		return Arrived{}, err
	}
	a := Arrived{Route: r.Route, Accepted: time.Since(began)}
	if len(ids) != 1 {
		return a, fmt.Errorf("the server accepted the test with %d events instead of one: another system answers at this address", len(ids))
	}
	a.Event = ids[0]
	ctx, cancel := context.WithTimeout(ctx, storeWithin)
	defer cancel()
	log := event.Log{JS: js, Stream: flow.Signing}
	subject := event.SubjectOf(s.Settings.Name, s.Settings.Provider, event.EndpointTested, "")
	for {
		found, err := log.Which(ctx, subject, event.Span{Since: began.Add(-time.Minute)}, a.Event)
		switch {
		case err == nil && found[a.Event]:
			a.Stored = time.Since(began)
			return a, nil
		case ctx.Err() != nil:
			return a, errors.New("the test was accepted, but its event is not in this log: the address leads to another installation")
		case err != nil:
			return a, err
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
		}
	}
}

// send sends a callback and returns the ids of its events.
func (s Source) send(ctx context.Context, r pack.Request) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, acceptWithin)
	defer cancel()
	request, err := r.To(ctx, s.Address+r.Route)
	if err != nil {
		return nil, errors.New("it is not a URL")
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return nil, unreachable(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return nil, errors.New("the response breaks off")
	}
	var answer struct {
		IDs    []string `json:"ids"`
		Detail string   `json:"detail"`
	}
	readable := json.Unmarshal(body, &answer) == nil
	switch code := response.StatusCode; {
	case code/100 == 2 && readable:
		return answer.IDs, nil
	case code/100 == 2:
		return nil, fmt.Errorf("the response is %d, but not Signrelay's: another system answers at this address", code)
	case code/100 == 3:
		return nil, fmt.Errorf("the response is a redirect (%d), which a provider counts as a failure: register the address that it leads to", code)
	case code == http.StatusUnauthorized:
		return nil, errors.New("ingest does not accept the secret (401): it has other settings, or has not read the new ones yet (at most 10 s)")
	case code == http.StatusNotFound:
		return nil, errors.New("no ingest serves this path (404): the proxy must pass /webhooks/ on unchanged, and ingest's settings must have the source")
	case readable && answer.Detail != "":
		return nil, fmt.Errorf("the response is %d: %s", code, answer.Detail)
	default:
		return nil, fmt.Errorf("the response is %d", code)
	}
}

// unreachable says why there was no response. Errors of the network contain the URL, which may have a token.
func unreachable(err error) error {
	var name *net.DNSError
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var call *net.OpError
	switch {
	case errors.As(err, &name):
		return errors.New("the host's name does not resolve")
	case errors.As(err, &host):
		return errors.New("the certificate is for other names")
	case errors.As(err, &authority):
		return errors.New("no known authority signed the certificate, so the provider does not accept it either")
	case errors.As(err, &invalid):
		return fmt.Errorf("the certificate is not valid: %w", invalid)
	case errors.As(err, &record):
		return errors.New("the server does not speak TLS on this port")
	case errors.As(err, &call) && call.Op == "remote error": // an alert of TLS
		return fmt.Errorf("the server ends the TLS handshake (%w): it may have no certificate for this name yet. /readyz?verbose of ingest says why", call.Err)
	case errors.As(err, &call):
		return fmt.Errorf("the connection failed (%s): %w", call.Op, call.Err)
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no response in time")
	default:
		return errors.New("the connection was lost")
	}
}

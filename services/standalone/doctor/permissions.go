package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/flow"
)

// probe is a subject on which a service may publish, and the message that tests the credentials' permission. No probe has an effect: a stream
// refuses a message that expects another stream, JetStream cannot parse the request or has no reply address, and an ack of an unknown kind
// has no effect.
type probe struct {
	service string
	subject string
	header  nats.Header
	reply   string
	body    string
}

// probes returns the permissions of each service by the map of the flow. Under the empty name it returns one that only an operator has.
func probes() []probe {
	all := []probe{{subject: "$JS.API.STREAM.DELETE.doctor", body: "{"}}
	for _, u := range flow.Users() {
		for _, pattern := range u.Publish {
			if strings.HasPrefix(pattern, "$JS.ACK.*.") {
				continue // a server uses this form only if its configuration enables it
			}
			all = append(all, probeOf(u.Name, pattern))
		}
	}
	return all
}

func probeOf(service, pattern string) probe {
	p := probe{service: service, subject: strings.NewReplacer("*", "doctor", ">", "doctor").Replace(pattern), body: "nothing"}
	switch {
	case strings.HasPrefix(pattern, "$JS.API.CONSUMER."):
		p.reply, p.body = nats.NewInbox(), "{" // this inbox has no subscriber
	case strings.HasPrefix(pattern, "$JS.API."):
		p.body = "" // a read request; without a reply address it gets no response
	case strings.HasPrefix(pattern, "$JS.ACK."):
		p.subject = strings.Replace(pattern, ">", "1.0.0.0.0", 1)
	case !strings.HasPrefix(pattern, "$JS."):
		p.header = nats.Header{"Nats-Expected-Stream": {"none"}}
	}
	return p
}

// permissions tests every permission that the services need. If the credentials belong to some services only, it also tests that they have no
// other permission. mayRead reports whether they may read the state of all streams, buckets and consumers.
func (e *examination) permissions(ctx context.Context, conn *nats.Conn) (all []Finding, mayRead bool) {
	const check = "permissions"
	services := e.services()
	mayRead = true
	needed, refused, excess := 0, []string{}, []string{}
	for _, p := range probes() {
		wanted := p.service != "" && (len(services) == 0 || slices.Contains(services, p.service))
		if !wanted && (len(services) == 0 || covered(services, p.subject)) {
			continue
		}
		allowed, err := try(ctx, conn, p)
		switch {
		case err != nil:
			return []Finding{{check, Fail, "the connection was lost: " + masked(err), "check the NATS server's log"}}, false
		case wanted && !allowed:
			refused = append(refused, p.service+": "+p.subject)
			mayRead = mayRead && !strings.Contains(p.subject, ".INFO")
		case !wanted && allowed && !slices.Contains(excess, p.subject):
			excess = append(excess, p.subject)
		}
		if wanted {
			needed++
		}
	}
	if len(refused) > 0 {
		all = append(all, Finding{check, Fail, "the credentials may not publish on " + strings.Join(refused, ", "),
			"allow it, as deployments/nats/accounts.conf does; if the credentials belong to some services only, name these services with --for"})
	} else {
		all = append(all, passed(check, "the credentials may publish on all %d subjects that were tested", needed))
	}
	if len(excess) > 0 {
		all = append(all, Finding{check + " beyond", Warn, fmt.Sprintf("the credentials may publish on subjects that %s do not need: %s, and %d more",
			strings.Join(services, ", "), excess[0], len(excess)-1), "give each service its own user, as deployments/nats/accounts.conf does"})
	}
	return all, mayRead
}

// services returns the services to which the credentials belong: those of --for, or the service with the name in nats.user. Empty means all.
func (e *examination) services() []string {
	if len(e.For) == 0 && unknownServices([]string{e.cfg.NATS.User}) == nil {
		return []string{e.cfg.NATS.User}
	}
	return e.For
}

// covered reports whether one of the services may publish on the subject.
func covered(services []string, subject string) bool {
	for _, u := range flow.Users() {
		if slices.Contains(services, u.Name) && slices.ContainsFunc(u.Publish, func(pattern string) bool {
			return server.SubjectMatchesFilter(subject, pattern)
		}) {
			return true
		}
	}
	return false
}

// try reports whether a probe may be published. The server reports a refused publish before it responds to the next ping.
func try(ctx context.Context, conn *nats.Conn, p probe) (allowed bool, err error) {
	err = conn.PublishMsg(&nats.Msg{Subject: p.subject, Reply: p.reply, Header: p.header, Data: []byte(p.body)})
	if err == nil {
		err = conn.FlushWithContext(ctx)
	}
	if err != nil {
		return false, err
	}
	last := conn.LastError()
	return last == nil || !strings.Contains(last.Error(), `"`+p.subject+`"`), nil
}

// unknownServices returns an error if the map of the flow lacks one of the names.
func unknownServices(names []string) error {
	known := []string{}
	for _, u := range flow.Users() {
		known = append(known, u.Name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("no service %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

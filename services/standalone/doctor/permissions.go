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

// probe is a subject that a service may publish on, and what is sent there to see whether the credentials may. None of it has an
// effect: a stream refuses a message that expects to be in another one, JetStream does not understand the request or answers it
// to nobody, and an ack of no known kind acknowledges nothing.
type probe struct {
	service string
	subject string
	header  nats.Header
	reply   string
	body    string
}

// probes are what the services may do, by the map; and, as nobody's, what only an operator may.
func probes() []probe {
	all := []probe{{subject: "$JS.API.STREAM.DELETE.doctor", body: "{"}}
	for _, u := range flow.Users() {
		for _, pattern := range u.Publish {
			if strings.HasPrefix(pattern, "$JS.ACK.*.") {
				continue // no server asks for it unless it is told to
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
		p.reply, p.body = nats.NewInbox(), "{" // nobody listens there
	case strings.HasPrefix(pattern, "$JS.API."):
		p.body = "" // a question; without a reply address nobody answers it
	case strings.HasPrefix(pattern, "$JS.ACK."):
		p.subject = strings.Replace(pattern, ">", "1.0.0.0.0", 1)
	case !strings.HasPrefix(pattern, "$JS."):
		p.header = nats.Header{"Nats-Expected-Stream": {"none"}}
	}
	return p
}

// permissions tries all that the services must be allowed, and where the credentials are those of some alone, whether they
// are allowed more. It also reports whether they may ask about all of the services' streams, buckets and consumers.
func (e *examination) permissions(ctx context.Context, conn *nats.Conn) (all []Finding, mayAsk bool) {
	const check = "permissions"
	whose := e.whose()
	mayAsk = true
	needed, refused, beyond := 0, []string{}, []string{}
	for _, p := range probes() {
		wanted := p.service != "" && (len(whose) == 0 || slices.Contains(whose, p.service))
		if !wanted && (len(whose) == 0 || covered(whose, p.subject)) {
			continue
		}
		allowed, err := try(ctx, conn, p)
		switch {
		case err != nil:
			return []Finding{{check, Fail, "the connection broke: " + told(err), "look at the NATS server's log"}}, false
		case wanted && !allowed:
			refused = append(refused, p.service+": "+p.subject)
			mayAsk = mayAsk && !strings.Contains(p.subject, ".INFO")
		case !wanted && allowed && !slices.Contains(beyond, p.subject):
			beyond = append(beyond, p.subject)
		}
		if wanted {
			needed++
		}
	}
	if len(refused) > 0 {
		all = append(all, Finding{check, Fail, "the credentials may not publish on " + strings.Join(refused, ", "),
			"allow it, as deployments/nats/accounts.conf does; where the credentials are those of some services only, name these with --for"})
	} else {
		all = append(all, fine(check, "the credentials may publish on all of %d subjects that were tried", needed))
	}
	if len(beyond) > 0 {
		all = append(all, Finding{check + " beyond", Warn, fmt.Sprintf("the credentials may publish where %s need not: %s, and %d more",
			strings.Join(whose, ", "), beyond[0], len(beyond)-1), "give each service a user of its own, as deployments/nats/accounts.conf does"})
	}
	return all, mayAsk
}

// whose are the services that the credentials are for: those that are named, or the one that nats.user is; empty for all.
func (e *examination) whose() []string {
	if len(e.For) == 0 && unknownServices([]string{e.cfg.NATS.User}) == nil {
		return []string{e.cfg.NATS.User}
	}
	return e.For
}

// covered tells whether one of the services may publish on the subject.
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

// try tells whether a probe may be published. The server says no to a publish before it answers the ping that follows it.
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

// unknownServices are those of names that the map does not know.
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

package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/flow"
)

// need is a subject that a service publishes on, and what is sent there to see whether it may. None of it has an effect:
// a stream refuses a message that expects to be in another one, a consumer does not understand the request, and an ack of
// no known kind acknowledges nothing.
type need struct {
	service string
	subject string
	header  nats.Header
	body    string
}

// needs are what the services publish on, by the map.
func needs() []need {
	var all []need
	for _, d := range flow.Doors {
		all = append(all, stored(d.Name, d.Gives...)...)
		all = append(all, stored(d.Name, "$KV."+flow.State+".>")...)
		all = append(all, asked(d.Name, flow.Signing)...)
	}
	for _, s := range flow.Stages {
		all = append(all, stored(s.Name, append(s.Gives, "dlq.v1.>")...)...)
		for _, stream := range []string{s.Stream, flow.Replay} {
			all = append(all,
				need{service: s.Name, subject: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + s.Name, body: "{"},
				need{service: s.Name, subject: "$JS.ACK." + stream + "." + s.Name + ".1.0.0.0.0", body: "nothing"})
		}
		all = append(all, asked(s.Name, s.Stream)...)
	}
	all = append(all, stored(flow.Shortener, "$KV."+flow.Links+".>")...)
	return append(all, stored(flow.SMSSender, "$KV."+flow.Texts+".>")...)
}

// stored are messages on concrete subjects of the patterns, none of which is stored.
func stored(service string, patterns ...string) []need {
	var all []need
	for _, pattern := range patterns {
		subject := strings.NewReplacer("*", "doctor", ">", "doctor").Replace(pattern)
		all = append(all, need{service: service, subject: subject, header: nats.Header{"Nats-Expected-Stream": {"none"}}, body: "nothing"})
	}
	return all
}

// asked are the questions that every service asks about its stream; without a reply address nobody answers them.
func asked(service, stream string) []need {
	return []need{
		{service: service, subject: "$JS.API.STREAM.INFO." + stream},
		{service: service, subject: "$JS.API.DIRECT.GET." + stream},
	}
}

// permissions tries all that the services must be allowed. The server says no to a publish before it answers the ping
// that follows it.
func (e *examination) permissions(ctx context.Context, conn *nats.Conn) Finding {
	const check = "permissions"
	tried, refused := 0, []string{}
	for _, n := range needs() {
		if len(e.For) > 0 && !slices.Contains(e.For, n.service) {
			continue
		}
		tried++
		m := &nats.Msg{Subject: n.subject, Header: n.header, Data: []byte(n.body)}
		if strings.HasPrefix(n.subject, "$JS.API.CONSUMER.") {
			m.Reply = nats.NewInbox() // nobody listens there
		}
		err := conn.PublishMsg(m)
		if err == nil {
			err = conn.FlushWithContext(ctx)
		}
		if err != nil {
			return Finding{check, Fail, "the connection broke: " + told(err), "look at the NATS server's log"}
		}
		if last := conn.LastError(); last != nil && strings.Contains(last.Error(), `"`+n.subject+`"`) {
			refused = append(refused, n.service+": "+n.subject)
		}
	}
	if len(refused) > 0 {
		return Finding{check, Fail, "the credentials may not publish on " + strings.Join(refused, ", "),
			"allow it; where the credentials are those of some services only, name these with --for"}
	}
	return fine(check, "the credentials may publish on all of %d subjects that were tried", tried)
}

// unknownServices are those of names that the map does not know.
func unknownServices(names []string) error {
	known := []string{}
	for _, d := range flow.Doors {
		known = append(known, d.Name)
	}
	for _, s := range flow.Stages {
		known = append(known, s.Name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("no service %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

package helm_test

import (
	"net"
	"net/url"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"

	"github.com/signrelay/signrelay/libs/config"
	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

// calls are the parties that each program connects to. A service of a later release calls the parties of its declaration.
func calls(name string) []string {
	if parties, is := firstCalls[name]; is {
		return parties
	}
	d, _ := declaration(name)
	return d.Calls
}

// firstCalls are the parties of the programs of the first release, which no change of a declaration may change unnoticed.
var firstCalls = map[string][]string{
	"ingest":       {"nats", "redis"},
	"enricher":     {"nats", "redis", "web"},
	"shortener":    {"nats", "redis", "web"},
	"sms-sender":   {"nats", "redis", "web"},
	"email-sender": {"nats", "redis", "smtp"},
	"kafka-bridge": {"nats", "kafka"},
	"sandbox":      {"ingest", "receipts"},
	"provision":    {"nats"},
	"kafka-refill": {"nats", "kafka"},
	"doctor":       {"nats", "redis", "kafka", "smtp", "web", "ingest"},
}

// wrongPolicies finds pods that are open to all, and pods whose policies prevent their work.
func wrongPolicies(m manifests) []string {
	var r report
	all := of[*networking.NetworkPolicy](m)
	if on, _ := part(m.values, "networkPolicy")["enabled"].(bool); !on {
		r.unless(len(all) == 0, "there are network policies")
		return r.wrong
	}
	for name, pod := range pods(m) {
		cfg, err := settings(m, pod)
		if err != nil {
			continue // another check reports it
		}
		closed := false
		ingress, egress := map[int32]bool{}, map[int32]bool{}
		for _, p := range all {
			if !matches(p.Spec.PodSelector.MatchLabels, pod.Labels) {
				continue
			}
			closed = closed || slices.Contains(p.Spec.PolicyTypes, networking.PolicyTypeIngress) && slices.Contains(p.Spec.PolicyTypes, networking.PolicyTypeEgress)
			for _, rule := range p.Spec.Ingress {
				// A rule without a peer allows every peer.
				r.unless(len(rule.From) > 0, "%s accepts every peer", name)
				open(&r, 0, name, ingress, rule.Ports)
			}
			for _, rule := range p.Spec.Egress {
				open(&r, dnsPort(m), name, egress, rule.Ports)
			}
		}
		r.unless(closed, "%s is open to all", name)

		listens := map[int32]bool{}
		for _, p := range pod.Spec.Containers[0].Ports {
			listens[p.ContainerPort] = true
		}
		r.unless(slices.Equal(sorted(ingress), sorted(listens)), "%s is called at %v and listens at %v", name, sorted(ingress), sorted(listens))
		want := needed(m, name, cfg)
		r.unless(slices.Equal(sorted(egress), sorted(want)), "%s may call %v and calls %v", name, sorted(egress), sorted(want))
	}
	return r.wrong
}

func open(r *report, dns int32, name string, ports map[int32]bool, rules []networking.NetworkPolicyPort) {
	r.unless(len(rules) > 0, "%s: a rule for all ports", name)
	for _, p := range rules {
		r.unless(p.Port != nil && p.EndPort == nil && p.Protocol != nil, "%s: a rule for many ports", name)
		r.unless(value(p.Protocol) == core.ProtocolTCP || value(p.Port).IntVal == dns, "%s: a rule for %s", name, value(p.Protocol))
		ports[value(p.Port).IntVal] = true
	}
}

// needed are the ports that the program calls: those of the settings, and the sandbox's if it replaces the outside parties.
func needed(m manifests, name string, cfg config.Config) map[int32]bool {
	ports := map[int32]bool{dnsPort(m): true}
	if extra, _ := part(m.values, "networkPolicy")["extraEgress"].([]any); len(extra) > 0 {
		ports[4318] = true // the port in the example
	}
	for _, party := range calls(name) {
		switch party {
		case "nats":
			for server := range strings.SplitSeq(cfg.NATS.URL, ",") {
				ports[portOf(server, 4222)] = true
			}
		case "redis":
			ports[portOf(cfg.Redis.URL, 6379)] = true
		case "kafka":
			for _, b := range kafkasettings.Section.Of(cfg).Brokers {
				ports[portOf("kafka://"+b, 9092)] = true
			}
		case "smtp":
			ports[int32(emailsettings.Section.Of(cfg).SMTP.Port)] = true
		case "web":
			ports[443] = true
		case "ingest":
			ports[8080] = true
		case "receipts":
			ports[8084] = true
		}
	}
	if sandboxOn(m) && (slices.Contains(calls(name), "web") || slices.Contains(calls(name), "smtp")) {
		ports[8082], ports[2525] = true, true
	}
	return ports
}

func dnsPort(m manifests) int32 {
	ports, _ := part(part(m.values, "networkPolicy"), "dns")["ports"].([]any)
	return int32(number(ports[0]))
}

func portOf(address string, usual int32) int32 {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || u.Port() == "" {
		return usual
	}
	n, err := net.LookupPort("tcp", u.Port())
	if err != nil {
		return usual
	}
	return int32(n)
}

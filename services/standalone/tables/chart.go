package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/signrelay/signrelay/libs/service"
)

const chartHead = `# Made by "make generate" from the services' declarations (var Service in services/<name>): change it there.
#
# doors: the listeners beside the admin one; setting names their address, path is what the Ingress sends there.
# reads: the parts of the settings, and the secrets below them, that a service is given; it sees no others. A source's api is a part of
#        its own: a service that does not call the provider does not hold its token. short-links is what links begin with, of the
#        shortener's settings, without its secrets.
# calls: what it may connect to.
# program, user: the image, and the NATS user; the service's name where they are missing.
`

// Not services: the job that makes streams, buckets and consumers, the pod of "helm test", and the job that fills a Kafka topic again.
const chartHooks = `# Not services: the job that makes streams, buckets and consumers, the pod of helm test, and the job that fills a Kafka topic
# again. All run the command line.
provision:
  program: signrelay
  user: operator
  reads: [nats, master_key, log]
  calls: [nats]
doctor:
  program: signrelay
  user: operator
  reads: [sources, api, ingest, shortener, sms, email, limits, templates, kafka, nats, redis, master_key, log]
  calls: [nats, redis, kafka, smtp, web]
kafka-refill:
  program: signrelay
  user: operator
  reads: [kafka, nats, log]
  calls: [nats, kafka]
`

// chart is the chart's table of services.
func chart(services []service.Service) string {
	var b strings.Builder
	b.WriteString(chartHead)
	for _, s := range services {
		fmt.Fprintf(&b, "%s:\n", s.Name)
		if len(s.Listeners) > 0 {
			b.WriteString("  doors:\n")
		}
		for _, l := range s.Listeners {
			fmt.Fprintf(&b, "    - {name: %s, port: %d, setting: %s", l.Name, l.Port, variable(l.Key))
			if l.Path != "" {
				fmt.Fprintf(&b, ", path: %s", l.Path)
			}
			b.WriteString("}\n")
		}
		fmt.Fprintf(&b, "  reads: [%s]\n", strings.Join(s.Reads, ", "))
		called := make([]string, len(s.Calls))
		for i, p := range s.Calls {
			called[i] = string(p)
		}
		fmt.Fprintf(&b, "  calls: [%s]\n", strings.Join(called, ", "))
	}
	b.WriteString(chartHooks)
	return b.String()
}

// variable is the name of a setting's variable.
func variable(key string) string {
	return "SIGNRELAY_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// schema lists the services among the chart's values: what may be set of each depends on whether it scales and has a public path.
func schema(was string, services []service.Service) (string, error) {
	list := regexp.MustCompile(`(?s)("services": \{\n *"type": "object",\n *"additionalProperties": false,\n *"properties": \{\n)(?: *"[a-z-]+": \{"\$ref": "#/definitions/[a-z]+"\},?\n)+`)
	if len(list.FindAllString(was, -1)) != 1 {
		return "", errors.New("want one list of services in it")
	}
	lines := make([]string, len(services))
	for i, s := range services {
		kind := "scaled"
		if _, public := s.Public(); public {
			kind = "door"
		} else if s.Single() {
			kind = "service"
		}
		lines[i] = fmt.Sprintf("        %q: {\"$ref\": \"#/definitions/%s\"}", s.Name, kind)
	}
	return list.ReplaceAllStringFunc(was, func(found string) string {
		return list.FindStringSubmatch(found)[1] + strings.Join(lines, ",\n") + "\n"
	}), nil
}

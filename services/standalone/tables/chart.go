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
# listeners: the listeners in addition to the admin listener; setting is the variable of the address, path is the path that the Ingress sends there.
# reads: the parts of the settings, with their secrets, that a service gets; it gets no others. A source's api is a part of its own: a
#        service that does not call the provider does not get its token. short-links is the shortener's public_url, without its secrets.
# calls: the parties to which it may connect.
# program, user: the image, and the NATS user; by default both are the service's name.
`

// chartHooks lists the pods that are not services.
const chartHooks = `# Not services: the job that creates streams, buckets and consumers, the pod of helm test, and the job that fills a Kafka topic again. All
# of them run the command line.
provision:
  program: signrelay
  user: operator
  reads: [nats, master_key, log]
  calls: [nats]
doctor:
  program: signrelay
  user: operator
  reads: [sources, api, ingest, shortener, sms, email, limits, templates, kafka, tls, nats, redis, master_key, log]
  calls: [nats, redis, kafka, smtp, web]
kafka-refill:
  program: signrelay
  user: operator
  reads: [kafka, nats, log]
  calls: [nats, kafka]
`

// chart returns the chart's table of services.
func chart(services []service.Service) string {
	var b strings.Builder
	b.WriteString(chartHead)
	for _, s := range services {
		fmt.Fprintf(&b, "%s:\n", s.Name)
		if len(s.Listeners) > 0 {
			b.WriteString("  listeners:\n")
		}
		for _, l := range s.Listeners {
			fmt.Fprintf(&b, "    - {name: %s, port: %d, setting: %s", l.Name, l.Port, variable(l.Key))
			if l.Path != "" {
				fmt.Fprintf(&b, ", path: %s", l.Path)
			}
			if len(l.Also) > 0 {
				fmt.Fprintf(&b, ", also: [%s]", strings.Join(l.Also, ", "))
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

// variable returns the name of a setting's environment variable.
func variable(key string) string {
	return "SIGNRELAY_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// schema lists the services in the schema of the chart's values. The allowed values depend on whether a service scales and has a public path.
func schema(old string, services []service.Service) (string, error) {
	list := regexp.MustCompile(`(?s)("services": \{\n *"type": "object",\n *"additionalProperties": false,\n *"properties": \{\n)(?: *"[a-z-]+": \{"\$ref": "#/definitions/[a-z]+"\},?\n)+`)
	if len(list.FindAllString(old, -1)) != 1 {
		return "", errors.New("want one list of services in it")
	}
	lines := make([]string, len(services))
	for i, s := range services {
		kind := "scaled"
		if _, public := s.Public(); public {
			kind = "public"
		} else if s.Single() {
			kind = "service"
		}
		lines[i] = fmt.Sprintf("        %q: {\"$ref\": \"#/definitions/%s\"}", s.Name, kind)
	}
	return list.ReplaceAllStringFunc(old, func(found string) string {
		return list.FindStringSubmatch(found)[1] + strings.Join(lines, ",\n") + "\n"
	}), nil
}

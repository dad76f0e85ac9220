package service

import (
	"cmp"
	"context"
	"slices"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
)

// Service is the declaration of one service. A host runs the service from it, and `make generate` writes the tables of the deployments from
// it: the chart's, systemd's, Compose's and Prometheus'.
type Service struct {
	Name    string
	Summary string // of a service outside libs/flow: its task, in one line for operators
	Run     func(context.Context, Env) error
	// Check returns the errors in settings that Run would refuse although this package's Check accepts them. The field is nil if there are
	// none.
	Check func(config.Config) error
	// Sections are the settings that the service owns: it declares their defaults and checks. services/sections lists those of all services.
	Sections []config.Declared
	// Listeners are the service's listeners besides the admin listener.
	Listeners []Listener
	// Calls are the parties that the service connects to.
	Calls []Party
	// Reads are the parts of the settings that the service reads; a deployment gives it no other parts and no secrets of them. "api" is the
	// part of sources for the provider's API, and "short-links" is the beginning of all links, without the shortener's secrets.
	Reads []string
	// Secrets are the settings that the service requires and that only its own files may contain, besides the passwords of NATS
	// and Redis.
	Secrets []string
	// WorksWithoutRedis: the service works while Redis is unavailable, so its program stays ready.
	WorksWithoutRedis bool
	// GCPercent is the garbage after which the service's own program collects, in percent of its live heap; 0 is the usual one of Alone.
	GCPercent int
	// MemoryMiB is the memory limit of the service's container or unit; 0 is DefaultMemoryMiB.
	MemoryMiB int
	// Singleton: additional replicas do not share the work.
	Singleton bool
	// DemoOnly: the service replaces outside parties, so a deployment runs it only on request.
	DemoOnly bool
}

// Purpose returns the service's task, in one line for operators.
func (s Service) Purpose() string { return cmp.Or(flow.PurposeOf(s.Name), s.Summary) }

// DefaultMemoryMiB is the memory limit of a service that declares none.
const DefaultMemoryMiB = 256

// Single reports whether additional replicas do not share the work: the service declares it, or replaces outside parties, or its stage is
// ordered, so that one replica works and another takes over when it fails.
func (s Service) Single() bool {
	return s.Singleton || s.DemoOnly || slices.ContainsFunc(flow.Stages, func(stage flow.Stage) bool { return stage.Name == s.Name && stage.Ordered })
}

// Listener is an address at which a service listens.
type Listener struct {
	Name string // of the port: "http" or "smtp"
	Key  string // of the setting that has the address: "ingest.addr"
	Port int    // in a container
	// Path is the prefix of the paths that outside parties call; empty if the listener is not public. The host serves a public
	// listener, and services with the same address share it. The service itself serves any other listener.
	Path string
	Also []string // further prefixes of such paths
	// HTTPS is the setting with the beginning of the listener's https addresses, if people open them in browsers: the listener for plain HTTP
	// redirects GET requests below Path to it. It is empty if programs call the listener.
	HTTPS string
}

// Party is a kind of server to which a service connects.
type Party string

// The parties.
const (
	NATS  Party = "nats"
	Redis Party = "redis"
	Kafka Party = "kafka"
	SMTP  Party = "smtp"
	Web   Party = "web" // providers, Vonage, shorteners: any address over HTTPS
)

// Public returns the listener that outside parties call, or false if the service has none.
func (s Service) Public() (Listener, bool) {
	i := slices.IndexFunc(s.Listeners, func(l Listener) bool { return l.Path != "" })
	if i < 0 {
		return Listener{}, false
	}
	return s.Listeners[i], true
}

func (s Service) calls(p Party) bool { return slices.Contains(s.Calls, p) }

// connects reports whether the service needs the host's connections.
func (s Service) connects() bool { return s.calls(NATS) || s.calls(Redis) }

func (s Service) outlivesRedis() bool {
	return s.connects() && (s.WorksWithoutRedis || !s.calls(Redis))
}

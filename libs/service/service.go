package service

import (
	"context"
	"slices"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
)

// Service is the declaration of one service. A host runs the service by it, and `make generate` writes the tables of the deployments from
// it: the chart's, systemd's, Compose's and Prometheus'.
type Service struct {
	Name    string
	Summary string // what it does, in one line for operators
	Run     func(context.Context, Env) error
	// Check returns what Run would refuse of settings that Check of this package accepts; nil where Run refuses nothing more.
	Check func(config.Config) error
	// Sections are the settings that the service owns: it declares their defaults and checks. services/sections lists those of all services.
	Sections []config.Declared
	// Listeners are the service's listeners besides the admin listener.
	Listeners []Listener
	// Calls are the parties that the service connects to.
	Calls []Party
	// Reads are the parts of the settings that the service reads; a deployment gives it no others, and none of their secrets. "api" is the
	// part of sources that reaches the provider's API, and "short-links" what links begin with, without the shortener's secrets.
	Reads []string
	// Secrets are the settings that the service cannot do without and that only a file of its own may hold, besides the passwords of NATS
	// and Redis.
	Secrets []string
	// WorksWithoutRedis: it does its work while Redis is away, so a program with it stays ready then.
	WorksWithoutRedis bool
	// Memory is how much memory a container or unit of it may take, in MiB; 0 is DefaultMemory.
	Memory int
	// DemoOnly: it stands in for the outside world, so a deployment runs it only where it is asked for.
	DemoOnly bool
}

// DefaultMemory is the memory of a service that declares none, in MiB.
const DefaultMemory = 256

// Single reports whether more replicas do not share the work: the service stands in for the outside world, or its stage is ordered, so
// that one replica works and another takes over when it fails.
func (s Service) Single() bool {
	return s.DemoOnly || slices.ContainsFunc(flow.Stages, func(stage flow.Stage) bool { return stage.Name == s.Name && stage.Ordered })
}

// Listener is an address at which a service listens.
type Listener struct {
	Name string // of the port: "http" or "smtp"
	Key  string // of the setting that has the address: "ingest.addr"
	Port int    // in a container
	// Path is the beginning of the paths that the outside world calls; empty where the listener is not public. The host serves a public
	// listener, and services with one address share it. The service serves any other listener by itself.
	Path string
}

// Party is what a service connects to.
type Party string

// The parties.
const (
	NATS  Party = "nats"
	Redis Party = "redis"
	Kafka Party = "kafka"
	SMTP  Party = "smtp"
	Web   Party = "web" // providers, Vonage, shorteners: any address over HTTPS
)

// Public returns the listener that the outside world calls; false where there is none.
func (s Service) Public() (Listener, bool) {
	i := slices.IndexFunc(s.Listeners, func(l Listener) bool { return l.Path != "" })
	if i < 0 {
		return Listener{}, false
	}
	return s.Listeners[i], true
}

func (s Service) calls(p Party) bool { return slices.Contains(s.Calls, p) }

// connects reports whether the service needs connections of the host.
func (s Service) connects() bool { return s.calls(NATS) || s.calls(Redis) }

func (s Service) outlivesRedis() bool {
	return s.connects() && (s.WorksWithoutRedis || !s.calls(Redis))
}

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/service"
)

const (
	firstAdminPort = 9181
	standalonePort = 9190 // of the unit of `signrelay run`
)

// adminPort returns the port of the admin listener of the service at a place in the list, from 0, if all services run on one machine. Each service
// uses the next port, except that of signrelay-standalone, so that a unit that was installed keeps its port.
func adminPort(place int) int {
	port := firstAdminPort + place
	if port >= standalonePort {
		port++
	}
	return port
}

// unit returns the systemd unit of a service. The lines that all units share are in signrelay-.service.d.
func unit(s service.Service, place int) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(`# Made by "make generate" from the service's declaration (var Service in services/%s). Put your own changes into a drop-in.`, s.Name)
	if s.DemoOnly {
		line("# Only for trials, never with real signers: it is not part of signrelay.target.")
	}
	line("[Unit]")
	line("Description=Signrelay %s: %s", s.Name, s.Purpose())
	line("Documentation=https://github.com/signrelay/signrelay/blob/main/docs/operate.md")
	line("Wants=network-online.target")
	if s.DemoOnly {
		line("After=network-online.target")
	} else {
		line("After=network-online.target signrelay-provision.service")
		line("PartOf=signrelay.target")
	}
	line("\n[Service]")
	line("Type=exec")
	line("ExecStart=/usr/local/lib/signrelay/%s", s.Name)
	line("LoadCredential=signrelay.yaml:/etc/signrelay/%s/signrelay.yaml", s.Name)
	line("Environment=SIGNRELAY_CONFIG=%%d/signrelay.yaml")
	line("Environment=SIGNRELAY_ADMIN_ADDR=127.0.0.1:%d", adminPort(place))
	secrets := slices.Clone(s.Secrets)
	if slices.Contains(s.Calls, service.Redis) {
		secrets = slices.Insert(secrets, 0, "redis.password")
	}
	if slices.Contains(s.Calls, service.NATS) {
		line("Environment=SIGNRELAY_NATS_USER=%s", s.Name)
		secrets = slices.Insert(secrets, 0, "nats.password")
	}
	for _, key := range secrets {
		line("LoadCredential=%s:/etc/signrelay/%s/%[1]s", key, s.Name)
		line("Environment=%s_FILE=%%d/%s", variable(key), key)
	}
	memory := s.MemoryMiB
	if memory == 0 {
		memory = service.DefaultMemoryMiB
	}
	line("# Go's limit is 90%% of the unit's: near it the garbage collector works harder.")
	line("MemoryMax=%dM", memory)
	line("Environment=GOMEMLIMIT=%dMiB", memory*9/10)
	target := "signrelay.target"
	if s.DemoOnly {
		target = "multi-user.target"
	}
	line("\n[Install]\nWantedBy=%s", target)
	return b.String()
}

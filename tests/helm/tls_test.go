package helm_test

import (
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
)

// With tls, the Services of the public listeners have the ports of https and http, and the pods may reach the ACME server. A certificate in secrets
// is mounted into no other service.
func TestPublicListenersWithTLS(t *testing.T) {
	t.Parallel()
	public := []string{"ingest", "shortener", "sms-sender"}
	m, err := render(loadChart(t), example(t, "tls"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range of[*core.Service](m) {
		var ports []int32
		for _, p := range s.Spec.Ports {
			ports = append(ports, p.Port)
		}
		if want := []int32{443, 80}; !slices.Equal(ports, want) || !slices.Contains(public, service(s)) {
			t.Errorf("Service %s has the ports %v, want %v", s.Name, ports, want)
		}
	}
	for _, p := range of[*networking.NetworkPolicy](m) {
		name := service(p)
		if !slices.Contains(public, name) {
			continue
		}
		web := slices.ContainsFunc(p.Spec.Egress, func(r networking.NetworkPolicyEgressRule) bool {
			return slices.ContainsFunc(r.Ports, func(port networking.NetworkPolicyPort) bool { return port.Port.IntVal == 443 })
		})
		plain := slices.ContainsFunc(p.Spec.Ingress, func(r networking.NetworkPolicyIngressRule) bool {
			return slices.ContainsFunc(r.Ports, func(port networking.NetworkPolicyPort) bool { return port.Port.IntVal == 8880 })
		})
		if !web || !plain {
			t.Errorf("%s may reach the ACME server: %t; is reached at the port of plain HTTP: %t", name, web, plain)
		}
	}
	if m, err = render(loadChart(t), example(t, "minimal",
		`secrets: {"tls.certificate": {name: signrelay-tls, key: tls.crt}, "tls.key": {name: signrelay-tls, key: tls.key}, "source.clickwrap.acme.webhook.secrets": {name: signrelay-acme, key: webhook-secrets}}`)); err != nil {
		t.Fatal(err)
	}
	for name, pod := range pods(m) {
		mounted := slices.ContainsFunc(pod.Spec.Containers[0].Env, func(v core.EnvVar) bool { return v.Name == "SIGNRELAY_TLS_KEY_FILE" })
		if want := slices.Contains(append(public, "doctor"), name); mounted != want {
			t.Errorf("%s has the key: %t", name, mounted)
		}
		for _, p := range pod.Spec.Containers[0].Ports {
			if strings.Contains(p.Name, "plain") {
				t.Errorf("%s has a port for plain HTTP", name)
			}
		}
	}
}

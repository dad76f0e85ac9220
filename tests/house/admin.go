package house

import "strings"

// Admin is the address of a service's admin door: probes and metrics.
func (p *Process) Admin() string {
	return strings.TrimSuffix(strings.TrimPrefix(p.ready, "http://"), "/readyz")
}

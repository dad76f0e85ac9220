package telemetry

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Register registers c and stores it in into. If another part of the program has registered the same collector already, it stores that one.
// It fails if another kind of collector has c's name.
func Register[C prometheus.Collector](r prometheus.Registerer, into *C, c C) error {
	*into = c
	err := r.Register(c)
	if before := (prometheus.AlreadyRegisteredError{}); errors.As(err, &before) {
		if existing, ok := before.ExistingCollector.(C); ok {
			*into = existing
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("register metric: %w", err)
	}
	return nil
}

package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// checkTestSetup fails with ErrNotATest unless all sources have names for tests and the log holds only their events.
func checkTestSetup(ctx context.Context, cfg config.Config, js jetstream.JetStream) error {
	if len(cfg.Sources) == 0 {
		return fmt.Errorf("%w: the settings have no sources", ErrNotATest)
	}
	own := map[[2]string]bool{}
	for _, s := range cfg.Sources {
		if !isTestName(s.Name) {
			return fmt.Errorf("%w: the name of source %s is neither demo nor test…", ErrNotATest, nameOf(s))
		}
		own[[2]string{s.Name, s.Provider}] = true
	}
	stream, err := js.Stream(ctx, flow.Signing)
	if err != nil {
		return fmt.Errorf("request %s: %w", flow.Signing, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(event.Everything))
	if err != nil {
		return fmt.Errorf("list the subjects of %s: %w", flow.Signing, err)
	}
	for subject := range info.State.Subjects {
		if at, ok := event.ParseSubject(subject); !ok || !own[[2]string{at.Source, at.Provider}] {
			return fmt.Errorf("%w: the log holds events of a source that is not in the settings", ErrNotATest)
		}
	}
	return nil
}

func isTestName(name string) bool { return name == "demo" || strings.HasPrefix(name, "test") }

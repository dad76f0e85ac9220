package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/services/reconciler"
)

func reconcileFlags(fs *flag.FlagSet) {
	sinceFlag(fs, "look at what changed in the last `duration`, e.g. 10d; without it, since the last reconciliation")
	fs.Bool("json", false, "print the result as one JSON object")
	fs.Bool("yes", false, "do not ask for confirmation")
	whyFlag(fs)
}

// The command asks the service, which has the secrets of the provider's API, and follows its progress.
const (
	reconcileLook = time.Second
	// reconcileBegins is the time after which a request that no service has begun is reported. The service looks for requests every 5 s.
	reconcileBegins = 30 * time.Second
)

// reconcile asks the service to reconcile a source, and prints the result. An interrupt ends the command and not the reconciliation.
func reconcile(ctx context.Context, c *call) error {
	name, err := c.argument("a source, such as pleasesign/acme")
	if err != nil {
		return err
	}
	key, err := sourceKey(name)
	if err != nil {
		return err
	}
	env, done, err := open(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	i, err := placeOf(env.Config, key)
	if err != nil {
		return err
	}
	if !env.Config.Sources[i].UsesAPI() {
		return fmt.Errorf("source %s has no api in the settings: the provider cannot be asked", name)
	}
	if !c.json() {
		period := "since the last reconciliation"
		if since := c.since(); !since.IsZero() {
			period = "since " + since.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(c.stdout, "To reconcile: %s, %s.\n%s\n", name, period, operate.Reconcile.Consequence())
	}
	if err := c.confirm(ctx); err != nil {
		return err
	}
	asked, err := (&operate.Operator{JS: env.JS}).AskReconciliation(ctx, key.Provider, key.Name, c.since(), c.ordered())
	if err != nil {
		return err
	}
	result, err := c.followReconciliation(ctx, env.JS, key, asked)
	if err != nil {
		return err
	}
	return c.printReconciliation(result)
}

func (c *call) followReconciliation(ctx context.Context, js jetstream.JetStream, key providers.SourceKey, asked reconciler.Request) (reconciler.Result, error) {
	look := time.NewTicker(reconcileLook)
	defer look.Stop()
	began, printed := time.Now(), ""
	for {
		is, err := reconciler.StatusOf(ctx, js, key, asked)
		switch {
		case err != nil:
			return reconciler.Result{}, err
		case is.Done:
			return is.Result, nil
		case !is.Begun && is.ID == "" && time.Since(began) > reconcileBegins:
			return reconciler.Result{}, errors.New("no service has begun the reconciliation: is the reconciler running? The request remains, and begins when it runs")
		}
		progress := "waiting for the service"
		switch {
		case is.Begun:
			progress = fmt.Sprintf("%s compared, %s published", count(is.LookedAt, "document"), count(is.Published, "fact"))
		case is.ID != "":
			progress = fmt.Sprintf("waiting for the reconciliation in progress: %s compared", count(is.LookedAt, "document"))
		}
		if progress != printed {
			fmt.Fprintln(c.stderr, progress)
			printed = progress
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return reconciler.Result{}, errors.New("interrupted: the reconciliation continues in the service; its log and metrics show the result")
		}
	}
}

func (c *call) printReconciliation(r reconciler.Result) error {
	if c.json() {
		if err := printJSON(c.stdout, r); err != nil {
			return err
		}
	} else if err := c.reconciliationTable(r); err != nil {
		return err
	}
	if r.Error != "" {
		return fmt.Errorf("the reconciliation failed: %s", r.Error)
	}
	return nil
}

func (c *call) reconciliationTable(r reconciler.Result) error {
	for _, row := range []struct {
		what string
		n    int
	}{
		{"documents looked at", r.LookedAt}, {"facts known", r.AlreadyKnown}, {"facts found", r.Found}, {"facts published", r.Published},
		{"documents contradicting", r.Contradicting},
	} {
		if err := c.say("%-24s %d", row.what, row.n); err != nil {
			return err
		}
	}
	for _, x := range r.Contradictions {
		if err := c.say("  %s  the log says %s, the provider says %s", event.Public(x.Document), x.Log, x.Provider); err != nil {
			return err
		}
	}
	if more := r.Contradicting - len(r.Contradictions); more > 0 {
		return c.say("  and %d more", more)
	}
	return nil
}

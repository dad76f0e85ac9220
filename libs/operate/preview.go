package operate

import (
	"context"
	"encoding/json"
	"fmt"
)

// Preview says what an action would do to a selection now, like Plan, and stores nothing. It cannot be started.
func (o *Operator) Preview(ctx context.Context, action Action, s Selection) (Plan, error) {
	if err := s.check(action); err != nil {
		return Plan{}, err
	}
	w := work{Selection: s, Plan: Plan{Action: action, Made: o.now().UTC(), Rate: DefaultRate}}
	if err := o.freeze(ctx, &w); err != nil {
		return Plan{}, err
	}
	w.Plan.Items = len(w.Items)
	if len(w.Items) == 0 {
		return Plan{}, &SelectionError{"nothing is selected" + stays(w.Plan.Stays)}
	}
	return w.Plan, nil
}

// Effect identifies what a plan does, so that a user who saw one plan does not start another.
func (p Plan) Effect() (string, error) {
	data, err := json.Marshal([]any{p.Action, p.Items, p.Rows, p.Leaves, p.People, p.Stays, p.Held, p.Unknown, p.Places, p.AtProvider})
	if err != nil {
		return "", fmt.Errorf("encode a plan: %w", err)
	}
	return contentHash(data), nil
}

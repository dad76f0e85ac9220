package event

import "slices"

// fallbacksFollow are the types of the events after which a message may go to another channel, or with which its time to arrive begins or ends.
var fallbacksFollow = []string{NotificationSent, NotificationDelivered, NotificationFailed, NotificationSuppressed}

// TypesOfFallbacks returns the types of the events that concern fallbacks to another channel, in the order of Types.
func TypesOfFallbacks() []string {
	var names []string
	for _, t := range Types {
		if slices.Contains(fallbacksFollow, t.Name) || EndsReminders(t.Name) {
			names = append(names, t.Name)
		}
	}
	return names
}

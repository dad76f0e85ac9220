package templates

import notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"

// Names are what a message says of a person: who acted, the name to greet with, and whose message it is.
func Names(n *notifyv1.Notification) (actor, greeting, whose string, err error) {
	about, err := factsOf(n)
	return about.Actor, about.Name, about.Whose, err
}

const LongestName = longestName

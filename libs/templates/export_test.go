package templates

import notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"

// Names returns the names in a message: the person who acted, the name in the greeting, and the recipient at a shared address.
func Names(n *notifyv1.Notification) (actor, greeting, whose string, err error) {
	about, err := factsOf(n)
	return about.Actor, about.Name, about.Whose, err
}

const LongestName = longestName

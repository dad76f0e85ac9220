package flow

import (
	"strings"

	"github.com/signrelay/signrelay/libs/event"
)

// The families of subjects beside the log's, which is in package event. Each has a stream of its own.
const (
	linkPrefix       = "notify.v1.link."
	sendPrefix       = "notify.v1.send."
	quarantinePrefix = "quarantine.v1."
	deadPrefix       = "dlq.v1."
	replayPrefix     = "replay.v1."
)

// Filters of all that a stream or a stage takes.
const (
	Notifications = "notify.v1.>"
	ToShorten     = linkPrefix + ">" // notifications that wait for their short links
	ToSend        = sendPrefix + ">" // notifications that wait for their senders
	Quarantined   = quarantinePrefix + ">"
	DeadLetters   = deadPrefix + ">"
	Replays       = replayPrefix + ">"
)

// LinkSubject is where a notification waits for its short link: notify.v1.link.<source>.<provider>.<document>.
func LinkSubject(source, provider, documentID string) string {
	return linkPrefix + source + "." + provider + "." + event.DocumentToken(documentID)
}

// SendSubject is where a notification waits for its sender: notify.v1.send.<channel>.<source>.<provider>.<document>.
func SendSubject(channel, source, provider, documentID string) string {
	return sendPrefix + channel + "." + source + "." + provider + "." + event.DocumentToken(documentID)
}

// SendFilter is what the sender of a channel takes.
func SendFilter(channel string) string { return sendPrefix + channel + ".>" }

// Address is what the subject of a notification says.
type Address struct {
	Channel          string // of the sender that it waits for; empty where it waits for its short link
	Source, Provider string
	Document         string // its token, see event.DocumentToken
}

// ParseNotification takes the subject of a notification apart; false means that it is none.
func ParseNotification(subject string) (Address, bool) {
	rest, links := strings.CutPrefix(subject, linkPrefix)
	if links {
		rest = "." + rest
	} else if rest, links = strings.CutPrefix(subject, sendPrefix); !links {
		return Address{}, false
	}
	t := strings.Split(rest, ".")
	if len(t) != 4 {
		return Address{}, false
	}
	return Address{Channel: t[0], Source: t[1], Provider: t[2], Document: t[3]}, true
}

// QuarantineSubject is where a callback is kept that was authentic and unreadable: quarantine.v1.<source>.<provider>.<reason>.
func QuarantineSubject(source, provider, reason string) string {
	return quarantinePrefix + source + "." + provider + "." + reason
}

// DeadSubject is the subject of the stage's dead letters: dlq.v1.<stage>.
func (s Stage) DeadSubject() string { return deadPrefix + s.Name }

// Replays is the filter, in REPLAY, of the stage's replays.
func (s Stage) Replays() string { return replayPrefix + s.Name + ".>" }

// ReplaySubject is the subject on which an input is replayed to its stage: replay.v1.<stage>.<stream>.<sequence>.<replay>. The place is all after
// the version.
func ReplaySubject(place string) string { return replayPrefix + place }

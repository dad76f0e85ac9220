package flow

import (
	"strings"

	"github.com/signrelay/signrelay/libs/event"
)

// The families of subjects besides the log's, which is in package event. Each has its own stream.
const (
	linkPrefix       = "notify.v1.link."
	sendPrefix       = "notify.v1.send."
	laterPrefix      = "later.v1."
	quarantinePrefix = "quarantine.v1."
	deadPrefix       = "dlq.v1."
	replayPrefix     = "replay.v1."
	remindPrefix     = "remind.v1."
	duePrefix        = remindPrefix + "due."
	fallbackPrefix   = remindPrefix + "fallback."
	fallbackDue      = remindPrefix + "fallback-due."
	holdPrefix       = "hold.v1."
	archivePrefix    = "archive.v1."
	archiveWaits     = archivePrefix + "wait."
	archiveDue       = archivePrefix + "due."
)

// Filters of all subjects of a stream or a stage.
const (
	Notifications = "notify.v1.>"
	ToShorten     = linkPrefix + ">" // notifications that wait for their short links
	ToSend        = sendPrefix + ">" // notifications that wait for their senders
	Quarantined   = quarantinePrefix + ">"
	DeadLetters   = deadPrefix + ">"
	Replays       = replayPrefix + ">"
	Reminders     = remindPrefix + ">"
	// DueReminders has one token more than the subject of a schedule, so that a source may have the name "due".
	DueReminders = duePrefix + "*.*.*.*"
	// Fallbacks are the schedules of fallbacks. Their subjects have two tokens more than those of reminders, so no filter of one matches the other.
	Fallbacks    = fallbackPrefix + "*.*.*.*.*"
	DueFallbacks = fallbackDue + "*.*.*.*.*"
	// HeldEvents are the copies of the events of documents under a legal hold.
	HeldEvents = holdPrefix + ">"
	// DueArchives are completed documents whose next attempt to archive their files is due.
	DueArchives = archiveDue + ">"
)

// LinkSubject returns the subject of a notification that waits for its short link: notify.v1.link.<source>.<provider>.<document>.
func LinkSubject(source, provider, documentID string) string {
	return linkPrefix + source + "." + provider + "." + event.DocumentToken(documentID)
}

// SendSubject returns the subject of a notification that waits for its sender: notify.v1.send.<channel>.<source>.<provider>.<document>.
func SendSubject(channel, source, provider, documentID string) string {
	return sendPrefix + channel + "." + source + "." + provider + "." + event.DocumentToken(documentID)
}

// ReplyFilter is the filter of replies to people's own texts. The SMS sender may publish only these messages to itself.
const ReplyFilter = sendPrefix + "sms.*.*.*." + reply

// reply is the last token of the subject of a reply.
const reply = "reply"

// ReplySubject returns the subject of a reply to a person's own text: notify.v1.send.<channel>.<source>.<provider>.<document>.reply.
func ReplySubject(channel, source, provider, documentID string) string {
	return SendSubject(channel, source, provider, documentID) + "." + reply
}

// Replies reports whether a subject is that of a reply to a person's own text.
func Replies(subject string) bool {
	return strings.HasPrefix(subject, sendPrefix) && strings.HasSuffix(subject, "."+reply) && strings.Count(subject, ".") == strings.Count(ReplyFilter, ".")
}

// SendFilter returns the filter of the sender of a channel.
func SendFilter(channel string) string { return sendPrefix + channel + ".>" }

// LaterSubject returns the subject of a notification that is scheduled for later: later.v1.<channel>.wait.<source>.<provider>.<document>.<id>. The
// id is that of the message which the server publishes then, on DueLaterSubject.
func LaterSubject(channel, source, provider, documentID, id string) string {
	return laterPrefix + channel + ".wait." + laterTail(source, provider, documentID, id)
}

// LatersOf returns the filter of the notifications of a channel about a document that are scheduled for later.
func LatersOf(channel, source, provider, documentID string) string {
	return laterPrefix + channel + ".wait." + source + "." + provider + "." + event.DocumentToken(documentID) + ".*"
}

// DueLaterSubject returns the subject on which the server publishes a notification that was scheduled.
func DueLaterSubject(channel, source, provider, documentID, id string) string {
	return laterPrefix + channel + ".due." + laterTail(source, provider, documentID, id)
}

func laterTail(source, provider, documentID, id string) string {
	return source + "." + provider + "." + event.DocumentToken(documentID) + "." + event.DocumentToken(id)
}

// LaterFilter returns the filter of the scheduled notifications of a channel.
func LaterFilter(channel string) string { return laterPrefix + channel + ".wait.>" }

// DueFilter returns the filter of the notifications of a channel that were scheduled and are due.
func DueFilter(channel string) string { return laterPrefix + channel + ".due.>" }

// DueStage returns the stage that sends the notifications of a channel that were scheduled and are due.
func DueStage(channel string) Stage {
	for _, s := range Stages {
		if len(s.Consumes) == 1 && s.Consumes[0] == DueFilter(channel) {
			return s
		}
	}
	panic("flow: no stage for due messages of the channel " + channel)
}

// Address has the parts of the subject of a notification.
type Address struct {
	Channel          string // of the sender that it waits for; empty if it waits for its short link
	Source, Provider string
	Document         string // its token, see event.DocumentToken
}

// ParseNotification parses the subject of a notification; false means that it is no such subject.
func ParseNotification(subject string) (Address, bool) {
	if rest, later := strings.CutPrefix(subject, laterPrefix); later {
		t := strings.Split(rest, ".")
		if len(t) != 6 {
			return Address{}, false
		}
		return Address{Channel: t[0], Source: t[2], Provider: t[3], Document: t[4]}, true
	}
	rest, links := strings.CutPrefix(subject, linkPrefix)
	if links {
		rest = "." + rest
	} else if rest, links = strings.CutPrefix(subject, sendPrefix); !links {
		return Address{}, false
	}
	if Replies(subject) {
		rest = strings.TrimSuffix(rest, "."+reply)
	}
	t := strings.Split(rest, ".")
	if len(t) != 4 {
		return Address{}, false
	}
	return Address{Channel: t[0], Source: t[1], Provider: t[2], Document: t[3]}, true
}

// ReminderSubject returns the subject of a person's scheduled reminder: remind.v1.<source>.<provider>.<document>.<recipient>. A person has at most
// one on a document.
func ReminderSubject(source, provider, documentID, recipientID string) string {
	return remindPrefix + reminderTail(source, provider, documentID, recipientID)
}

// DueSubject returns the subject on which the server publishes a person's reminder when it is due.
func DueSubject(source, provider, documentID, recipientID string) string {
	return duePrefix + reminderTail(source, provider, documentID, recipientID)
}

// RemindersOf returns the filter of the scheduled reminders of a document; "*" means any source or provider, and an empty id any document.
func RemindersOf(source, provider, documentID string) string {
	document := "*"
	if documentID != "" {
		document = event.DocumentToken(documentID)
	}
	return remindPrefix + source + "." + provider + "." + document + ".*"
}

// FallbackSubject returns the subject of the scheduled fallback of a message: remind.v1.fallback.<source>.<provider>.<document>.<recipient>.<id>.
func FallbackSubject(source, provider, documentID, recipientID, notificationID string) string {
	return fallbackPrefix + reminderTail(source, provider, documentID, recipientID) + "." + event.DocumentToken(notificationID)
}

// DueFallbackSubject returns the subject on which the server publishes the fallback of a message when it is due.
func DueFallbackSubject(source, provider, documentID, recipientID, notificationID string) string {
	return fallbackDue + reminderTail(source, provider, documentID, recipientID) + "." + event.DocumentToken(notificationID)
}

// FallbacksOf returns the filter of the scheduled fallbacks of a person's messages, or of all people of the document if recipientID is empty.
func FallbacksOf(source, provider, documentID, recipientID string) string {
	recipient := "*"
	if recipientID != "" {
		recipient = event.DocumentToken(recipientID)
	}
	return fallbackPrefix + source + "." + provider + "." + event.DocumentToken(documentID) + "." + recipient + ".*"
}

func reminderTail(source, provider, documentID, recipientID string) string {
	return source + "." + provider + "." + event.DocumentToken(documentID) + "." + event.DocumentToken(recipientID)
}

// ArchiveSubject returns the subject of a completed document whose files wait for the next attempt:
// archive.v1.wait.<source>.<provider>.<document>.<id>. The id is that of the document.completed, because a document that was sent again is
// completed again.
func ArchiveSubject(source, provider, documentID, id string) string {
	return archiveWaits + laterTail(source, provider, documentID, id)
}

// DueArchiveSubject returns the subject on which the server publishes a completed document when its next attempt is due.
func DueArchiveSubject(source, provider, documentID, id string) string {
	return archiveDue + laterTail(source, provider, documentID, id)
}

// ArchivesOf returns the filter of the waiting attempts for a document, or for all documents if the id is empty.
func ArchivesOf(source, provider, documentID string) string {
	document := "*"
	if documentID != "" {
		document = event.DocumentToken(documentID)
	}
	return archiveWaits + source + "." + provider + "." + document + ".*"
}

// QuarantineSubject returns the subject of an authentic callback that cannot be read: quarantine.v1.<source>.<provider>.<reason>.
func QuarantineSubject(source, provider, reason string) string {
	return quarantinePrefix + source + "." + provider + "." + reason
}

// DeadSubject returns the subject of the stage's dead letters: dlq.v1.<stage>.
func (s Stage) DeadSubject() string { return deadPrefix + s.Name }

// Replays returns the filter of the stage's replays in REPLAY.
func (s Stage) Replays() string { return replayPrefix + s.Name + ".>" }

// ReplaySubject returns the subject on which an input is replayed to its stage: replay.v1.<stage>.<stream>.<sequence>.<replay>. The place is
// everything after the version.
func ReplaySubject(place string) string { return replayPrefix + place }

// HoldSubject returns the subject of the copy of an event of a document under a legal hold: hold.v1. and the event's subject in the log after
// its version.
func HoldSubject(a event.Address) string {
	return holdPrefix + a.Source + "." + a.Provider + "." + a.Type + "." + a.Document
}

// HeldOf returns the filter of the copies of a document's events.
func HeldOf(source, provider, document string) string {
	return holdPrefix + source + "." + provider + ".*.*." + document
}

// Place is the document that the subject of a message names, and the person if the subject names one.
type Place struct {
	Source, Provider string
	Document         string // its token, see event.DocumentToken
	Recipient        string // the token of the person's id; empty if the subject has none
}

// PlaceOf returns the document of a subject of SIGNING, NOTIFY, REMIND, HOLD and the streams of scheduled messages; false for other subjects.
func PlaceOf(subject string) (Place, bool) {
	if a, ok := event.ParseSubject(subject); ok {
		return Place{Source: a.Source, Provider: a.Provider, Document: a.Document}, true
	}
	if a, ok := ParseNotification(subject); ok {
		return Place{Source: a.Source, Provider: a.Provider, Document: a.Document}, true
	}
	if rest, ok := strings.CutPrefix(subject, holdPrefix); ok {
		t := strings.Split(rest, ".")
		if len(t) != 5 {
			return Place{}, false
		}
		return Place{Source: t[0], Provider: t[1], Document: t[4]}, true
	}
	if rest, ok := strings.CutPrefix(subject, archivePrefix); ok {
		t := strings.Split(rest, ".")
		if len(t) != 5 {
			return Place{}, false
		}
		return Place{Source: t[1], Provider: t[2], Document: t[3]}, true
	}
	rest, ok := strings.CutPrefix(subject, remindPrefix)
	if !ok {
		return Place{}, false
	}
	// A source may have the name "due", so the number of tokens decides.
	switch t := strings.Split(rest, "."); len(t) {
	case 4:
		return Place{t[0], t[1], t[2], t[3]}, true
	case 5, 6:
		return Place{t[1], t[2], t[3], t[4]}, true
	default:
		return Place{}, false
	}
}

// FillRemind is a subject of REMIND, and FillLater one of a stream of scheduled messages, which no consumer reads. An erasure writes on it to make
// the server rewrite its files.
const FillRemind = remindPrefix + "fill"

// FillArchive is such a subject of ARCHIVE.
const FillArchive = archivePrefix + "fill"

// FillLater returns the subject for the channel's stream.
func FillLater(channel string) string { return laterPrefix + channel + ".fill" }

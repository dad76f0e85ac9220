package document

import "time"

// Facts is what the log does not say about a document and its caller brings. Empty fields are unknown, and Explain says less.
type Facts struct {
	Held      []HeldMessage       // notification.HeldMessages of the document, with the attempts
	Dead      []DeadLetter        // dead letters that name the document
	Deferred  []DeferredMessage   // schedules in the LATER_ streams
	Reminders []ScheduledReminder // schedules in the stream REMIND
	// Signers are the signers that the provider's API lists, in their order; empty if it was not asked. The log does not know a signer whose turn has
	// not come.
	Signers []Signer
	// ReminderDays are the times of the reminders after the invitation (config.Reminders.Due); empty if reminders are off or unknown.
	ReminderDays []time.Duration
	// FallbackAfter is how long an invitation may wait for its receipt before it goes to the other channel; 0 if that is off or unknown.
	FallbackAfter time.Duration
	ExpiresAt     time.Time // of the contract, at the provider; zero if unknown
	Archives      bool      // files of completed documents are archived
	LegalHold     *LegalHold
	// ProviderName, TextVendor and MailServer are names for the reader: "PleaseSign", "Vonage", "the mail server". Explain has defaults.
	ProviderName, TextVendor, MailServer string
}

// HeldMessage is a message that its sender holds.
type HeldMessage struct {
	ID       string // of the notification
	Kind     string
	Channel  string
	Reason   string
	Fault    string
	Since    time.Time
	Attempts int       // 0 if it was not tried: of the messages that are held for one reason, only one at a time is
	Next     time.Time // of the next attempt with a message that is held for this reason; zero if unknown
	Others   int       // messages of all documents that are held for the same reason
	Limit    bool      // it is beyond a limit: an operator may release it alone
	Country  string    // ISO 3166, if the settings do not allow texts to it
}

// DeadLetter is an input that a stage gave up.
type DeadLetter struct {
	Key      string // for the page's link
	Stage    string
	Message  string // the notification's id; empty if the input is no message or is for several channels
	Event    string // the event's id, if the input is one
	Person   string // the provider's id of the person; empty if there is none
	Kind     string
	Channel  string
	Reason   string
	Fault    string
	At       time.Time
	Attempts int
}

// DeferredMessage is a message that waits for a time.
type DeferredMessage struct {
	ID     string // of the notification
	Reason string
	Until  time.Time
}

// ScheduledReminder is the next reminder of a person.
type ScheduledReminder struct {
	Person string // the provider's id
	Number int
	Due    time.Time
}

// Signer is a signer as the provider's API lists it.
type Signer struct {
	ID     string
	Name   string // for a signer whom no event names
	Order  int    // a signer with a lower order signs first
	Signed bool
}

// LegalHold is an operator's legal hold.
type LegalHold struct {
	Since      time.Time
	By, Reason string
}

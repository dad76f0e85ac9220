package operate

import "slices"

// Action is what an operator may do.
type Action string

// The actions. A document's action needs Selection.Document, the others a filter or keys.
const (
	Replay          Action = "replay"           // send dead letters back to their stages
	Drop            Action = "drop"             // remove dead letters for good
	Repair          Action = "repair"           // replay one dead letter with another content
	ReplayCallbacks Action = "replay-callbacks" // process quarantined callbacks again
	RepairCallback  Action = "repair-callback"  // process one quarantined callback with another body
	DropCallbacks   Action = "drop-callbacks"   // remove quarantined callbacks for good
	Release         Action = "release"          // send held messages although they are beyond a limit
	ReleaseChannels Action = "release-channels" // try the held messages of channels now
	Resend          Action = "resend"           // a person's invitation once more
	Correct         Action = "correct"          // a person's name and addresses; the person is then invited again
	CancelReminders Action = "cancel-reminders" // of a person or of all people of a document
	ArchiveAgain    Action = "archive"          // store the files of a completed document
	Erase           Action = "erase"            // remove a document from all places
	HoldDocument    Action = "hold"             // put a document under a legal hold
	ReleaseDocument Action = "release-hold"     // end the legal hold of a document

	// These have no plan, only an event.
	Reconcile Action = "reconcile"  // compare the log with a provider
	RemindNow Action = "remind-now" // a person's next reminder at once
)

// Actions are all actions.
var Actions = []Action{
	Replay, Drop, Repair, ReplayCallbacks, RepairCallback, DropCallbacks, Release, ReleaseChannels, Resend, Correct, CancelReminders, ArchiveAgain, Erase,
	HoldDocument, ReleaseDocument,
}

// The actions by the process that may run their jobs. ingest reads callbacks, and the keeper erases; the console has no right to either.
var (
	ConsoleActions = []Action{Replay, Drop, Repair, DropCallbacks, Release, ReleaseChannels, Resend, Correct, CancelReminders, ArchiveAgain}
	IngestActions  = []Action{ReplayCallbacks, RepairCallback}
	KeeperActions  = []Action{Erase, HoldDocument, ReleaseDocument}
)

// ofDocument reports whether the action is about Selection.Document.
func (a Action) ofDocument() bool {
	return slices.Contains([]Action{Resend, Correct, CancelReminders, ArchiveAgain, Erase, HoldDocument, ReleaseDocument}, a)
}

// what is the kind of stuck work that the action takes; empty for none.
func (a Action) what() What {
	switch a {
	case Replay, Drop, Repair:
		return Dead
	case ReplayCallbacks, RepairCallback, DropCallbacks:
		return Quarantined
	case Release, ReleaseChannels:
		return Held
	default:
		return ""
	}
}

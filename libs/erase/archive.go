package erase

import (
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// archivedKey returns the key of the file in the archive that an event names; empty for other events.
func archivedKey(e *signingv1.SigningEvent) string { return e.GetFile().GetKey() }

package operate

// ReplayRequested makes the event of a replay that does not repair its dead letter.
var ReplayRequested = replayRequested

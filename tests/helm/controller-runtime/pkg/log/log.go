// Package log has the logger of KEDA's webhooks, which logs nothing.
package log

import "github.com/go-logr/logr"

// Log discards everything.
var Log = logr.Discard()

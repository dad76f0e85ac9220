package archiver

import (
	"errors"
	"time"

	"github.com/signrelay/signrelay/libs/archive"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// failure is the reason why a file was not archived in one attempt.
type failure struct {
	reason string        // bounded: a metric's label
	fault  outcome.Fault // the party at fault
	after  time.Duration // the delay that the provider named; 0 for none
	gone   bool          // the provider has the file no more
	never  bool          // no other attempt can succeed until the operator changes a setting
	err    error
}

func (f failure) Error() string { return f.reason + ": " + f.err.Error() }
func (f failure) Unwrap() error { return f.err }

// provider reports whether another address of the file may work.
func (f failure) provider() bool { return f.fault == outcome.Provider }

// Reasons of failures.
const (
	notYet      = "not-yet"      // the provider prepares the file
	gone        = "gone"         // the provider does not have it
	deadLink    = "dead-link"    // an address from the provider works no more
	refused     = "refused"      // another HTTP status
	noResponse  = "no-response"  // or the connection broke before the first byte
	truncated   = "truncated"    // the body ended too early
	notPDF      = "not-a-pdf"    // such as an error page with status 200
	tooLarge    = "too-large"    // for archive.max_megabytes
	forbidden   = "forbidden"    // an address in a private network, or not http(s)
	credentials = "credentials"  // the API rejects them
	diskFull    = "disk-full"    // of the temporary files
	disk        = "disk"         // another failure of the temporary files
	storeFull   = "archive-full" // no room in the archive
	storeAway   = "archive-away" // the archive does not respond, or refuses
	damaged     = "damaged"      // an object of the archive has another content than its key says
	other       = "other"
)

// allReasons has each reason, for the metric.
var allReasons = []string{
	notYet, gone, deadLink, refused, noResponse, truncated, notPDF, tooLarge, forbidden, credentials, diskFull, disk, storeFull, storeAway, damaged, other,
}

// read returns the failure that an error is. An error of a pack's API says why by its outcome.
func read(err error) failure {
	var known failure
	if errors.As(err, &known) {
		return known
	}
	f := failure{reason: other, fault: outcome.Provider, err: err}
	if why := new(pack.NotOpenError); errors.As(err, &why) {
		f.reason, f.after = notYet, why.In
		if why.Reason == pack.Gone || why.Reason == pack.Ended {
			f.reason, f.gone = gone, true
		}
		return f
	}
	o := outcome.Of(err)
	f.after = o.After()
	f.reason = noResponse
	if call := new(pack.CallError); errors.As(err, &call) && call.Status != 0 {
		f.reason = refused
	}
	if o.Kind() == outcome.Held {
		f.reason, f.fault = credentials, outcome.Operator
	}
	return f
}

// storeFailure returns the failure of the archive.
func storeFailure(err error) error {
	f := failure{reason: storeAway, fault: outcome.Operator, err: err}
	switch {
	case errors.Is(err, archive.ErrDamaged):
		f.reason = damaged
	case archive.Full(err):
		f.reason = storeFull
	}
	return f
}

// diskFailure returns the failure of a temporary file. Its text has no path.
func diskFailure(err error) error {
	f := failure{reason: disk, fault: outcome.Operator, err: errors.New("the temporary file cannot be written: check archive.temp_dir")}
	if archive.Full(err) {
		f.reason, f.err = diskFull, errors.New("the disk of the temporary files is full: see archive.temp_dir")
	}
	return f
}

// provided returns a failure of the provider or of its server of files.
func provided(reason, text string) failure {
	return failure{reason: reason, fault: outcome.Provider, err: errors.New(text)}
}

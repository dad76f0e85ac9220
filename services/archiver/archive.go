package archiver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/archive"
	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// archive stores each file of a completed document that the log does not have yet, and returns one document.archived for each. If a file is not
// available, it also returns the schedule of the next attempt.
//
// A crash at any step loses nothing and costs at most one more download. The write is idempotent, because the key contains the content's hash, so
// the stage has no claims.
func (a *archiver) archive(ctx context.Context, in stage.Event[*signingv1.SigningEvent]) ([]stage.Out, error) {
	e := in.Data
	src, files, err := a.files(e)
	if err != nil {
		return nil, err
	}
	has, err := a.archived(ctx, e)
	if err != nil {
		return nil, err
	}
	var outs []stage.Out
	var failures []failure
	work := job{completed: e, document: documentOf(e), source: src}
	for _, f := range files {
		if has[f.Kind] {
			continue
		}
		o, err := a.file(ctx, &work, f)
		switch {
		case errors.Is(err, pack.ErrNotOurs):
			return nil, outcome.Skip("not-ours")
		case outcome.Of(err).Kind() == outcome.Waits: // over our own rate, or the breaker is open: the provider was not called
			return outs, err
		case err != nil:
			fails := read(err)
			a.metrics.failed(e.GetProvider(), fails.reason)
			failures = append(failures, fails)
			continue
		}
		m, err := event.Message(ctx, archivedEvent(e, o))
		if err != nil {
			return nil, outcome.Permanent(err)
		}
		outs = append(outs, m)
	}
	if errors.Is(ctx.Err(), context.Canceled) { // the program ends
		return outs, outcome.Away("shutdown", context.Cause(ctx))
	}
	if len(failures) == 0 {
		if len(outs) == 0 {
			return nil, outcome.Skip("archived")
		}
		return outs, nil
	}
	return a.later(ctx, in, outs, failures)
}

func documentOf(e *signingv1.SigningEvent) archive.Document {
	return archive.Document{Source: e.GetSource(), Provider: e.GetProvider(), ID: e.GetDocument().GetId()}
}

// files returns the files that the document's provider may have.
func (a *archiver) files(e *signingv1.SigningEvent) (providers.Source, []pack.File, error) {
	src, ok := a.sources()[providers.SourceKey{Name: e.GetSource(), Provider: e.GetProvider()}]
	files, offers := src.API.(pack.Filer)
	switch {
	case !ok:
		// A dead letter can be replayed when the settings contain the source again.
		return src, nil, outcome.Permanent(errors.New("the event's source is not in the settings"))
	case e.GetDocument().GetId() == "":
		return src, nil, outcome.Skip("no-document")
	case src.API == nil:
		return src, nil, outcome.Skip("no-api")
	case !offers:
		return src, nil, outcome.Skip("no-files")
	default:
		return src, files.Files(e), nil
	}
}

// attributeCause is the attribute of document.archived with the id of the document.completed. A document that was sent again is completed again,
// and then has other files.
const attributeCause = "cause"

// archived returns the kinds of files that the log has as archived since this completion.
func (a *archiver) archived(ctx context.Context, completed *signingv1.SigningEvent) (map[pack.FileKind]bool, error) {
	has := map[pack.FileKind]bool{}
	d := documentOf(completed)
	for m, err := range a.log.Messages(ctx, event.SubjectOf(d.Source, d.Provider, event.DocumentArchived, d.ID), time.Time{}) {
		if err != nil {
			return nil, err
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			return nil, fmt.Errorf("read an earlier event of a file: %w", err)
		}
		if e.GetDocument().GetId() == d.ID && e.GetAttributes()[attributeCause] == completed.GetId() { // two ids may have one token
			has[pack.FileKind(e.GetFile().GetKind())] = true
		}
	}
	return has, nil
}

// archivedEvent reports a stored file. Its id and its time come from the completion and from the object, so a repeated attempt makes the same event.
func archivedEvent(completed *signingv1.SigningEvent, o archive.Object) *signingv1.SigningEvent {
	return &signingv1.SigningEvent{
		Id:     event.DerivedID(completed.GetId(), flow.Archiver, o.Kind+"/"+o.SHA256),
		Source: completed.GetSource(), Provider: completed.GetProvider(), Type: event.DocumentArchived,
		OccurredAt: timestamppb.New(o.At), Verification: signingv1.Verification_VERIFICATION_INTERNAL,
		Document:   &signingv1.Document{Id: completed.GetDocument().GetId()},
		Attributes: map[string]string{attributeCause: completed.GetId()},
		File:       &signingv1.File{Kind: o.Kind, Size: uint64(o.Size), Sha256: o.SHA256, Key: o.Key},
	}
}

// job is the work on one completed document.
type job struct {
	completed *signingv1.SigningEvent
	document  archive.Document
	source    providers.Source

	stored []archive.Object // of the document, once listed
	listed bool
}

// Times of the store and of its clients differ by less than clocksDiffer.
const clocksDiffer = 5 * time.Minute

// listWithin limits the first request to the store: while it is unavailable, no provider is called.
const listWithin = 20 * time.Second

// file archives one file. An attempt that died may have written it already: then the file is not requested again.
func (a *archiver) file(ctx context.Context, j *job, f pack.File) (archive.Object, error) {
	if !j.listed {
		limited, cancel := context.WithTimeout(ctx, listWithin)
		stored, err := a.store.Of(limited, j.document)
		cancel()
		if err != nil {
			return archive.Object{}, storeFailure(err)
		}
		j.stored, j.listed = stored, true
	}
	since := j.completed.GetReceivedAt().AsTime().Add(-clocksDiffer)
	for _, o := range j.stored {
		if o.Kind != string(f.Kind) || o.At.Before(since) { // an older one is from an earlier sending
			continue
		}
		if err := a.store.Verify(ctx, o); err != nil {
			return archive.Object{}, storeFailure(err)
		}
		a.metrics.archived(j.completed.GetProvider(), o.Kind, "found")
		return o, nil
	}
	var why error
	for _, get := range f.From {
		o, err := a.download(ctx, j, f.Kind, get)
		if err == nil || !read(err).provider() {
			return o, err
		}
		if why == nil || read(why).gone { // "gone" counts only if each way says so
			why = err
		}
	}
	return archive.Object{}, why
}

// download gets a file from one address into a temporary file, and stores it under the key with its hash.
func (a *archiver) download(ctx context.Context, j *job, kind pack.FileKind, get func(context.Context) (*pack.Target, error)) (o archive.Object, err error) {
	target, err := get(ctx)
	if err != nil {
		return o, err
	}
	temporary, err := a.fetch.temporary()
	if err != nil {
		return o, diskFailure(err)
	}
	defer func() { _ = temporary.Close() }()
	sum, err := a.fetch.to(ctx, temporary, target, j.source.Settings.API.BaseURL)
	if err != nil {
		return o, err
	}
	crash.Point("fetched")
	o, written, err := a.store.Put(ctx, j.document, archive.Name{Kind: string(kind), SHA256: sum}, temporary)
	if err != nil {
		return o, storeFailure(err)
	}
	crash.Point("archived")
	result := "found"
	if written {
		result = "written"
	}
	a.metrics.archived(j.completed.GetProvider(), o.Kind, result)
	return o, nil
}

// reasons returns the reasons of failures, each once, for a log line and a dead letter.
func reasons(failures []failure) string {
	var all []string
	seen := map[string]bool{}
	for _, f := range failures {
		if !seen[f.reason] {
			seen[f.reason] = true
			all = append(all, f.reason)
		}
	}
	return strings.Join(all, ",")
}

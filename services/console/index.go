package console

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/index"
	indexsettings "github.com/signrelay/signrelay/services/indexer/settings"
)

// searchIndex is the index that the indexer writes. It is opened when a page first needs it, so the console starts without its database.
type searchIndex struct {
	url string // empty without an index

	mu   sync.Mutex
	open *index.Index
}

func indexURL(c config.Config) string {
	if is := indexsettings.Section.Of(c); is.On() {
		return is.URL
	}
	return ""
}

// The problems of the index. Their titles and details are for readers; the log has the reason.
var (
	errNoIndex = &Problem{Status: http.StatusServiceUnavailable, Title: "This console has no index of documents",
		Detail: "Set index.url (SIGNRELAY_INDEX_URL) to the database that the indexer writes, such as postgres://signrelay@db/signrelay, and restart the console. " +
			"Callbacks are stored and messages go out as ever; a document still opens by its whole id."}
	errIndexAway = &Problem{Status: http.StatusServiceUnavailable, Title: "The index does not answer", Retry: 5 * time.Second,
		Detail: "Callbacks are stored and messages go out as ever; a document still opens by its whole id. Check the database at index.url, and whether the indexer runs."}
	errIndexNew = &Problem{Status: http.StatusServiceUnavailable, Title: "There is no index yet", Retry: 5 * time.Second,
		Detail: "The indexer makes it when it starts. Check whether it runs. A document still opens by its whole id."}
)

// reach returns the index, or a problem for the reader.
func (s *Server) reach(ctx context.Context) (*index.Index, error) {
	x := s.index
	if x.url == "" {
		return nil, errNoIndex
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.open != nil {
		return x.open, nil
	}
	if index.Missing(x.url) {
		return nil, errIndexNew
	}
	limit, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	opened, err := index.Open(limit, x.url)
	if err != nil {
		return nil, s.away(ctx, err)
	}
	x.open = opened
	return opened, nil
}

// away logs why the index does not answer, and returns the problem for the reader.
func (s *Server) away(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	s.env.Log.WarnContext(ctx, "the index does not answer", "error", err)
	return errIndexAway
}

func (x *searchIndex) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.open != nil {
		_ = x.open.Close()
		x.open = nil
	}
}

// noticeableLag is the lag of the index from which its pages show it: the normal lag is below one second.
const noticeableLag = 5 * time.Second

// indexLag returns how long the oldest event waits that is not in the index; 0 if that is not worth a word.
func (s *Server) indexLag(now time.Time) time.Duration {
	for _, state := range s.sampler.snapshot().Stages {
		if state.Name == flow.Indexer && !state.Oldest.IsZero() && now.Sub(state.Oldest) > noticeableLag {
			return now.Sub(state.Oldest)
		}
	}
	return 0
}

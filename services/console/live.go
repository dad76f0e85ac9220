package console

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

var livePages = []Page{
	{"GET", "/live", Look, "", nil, serveLive},
}

// mostStreams is the maximum number of open pages with live updates.
const mostStreams = 256

var streams atomic.Int64

// serveLive is a stream of server-sent events: it says when there are new samples. The page then loads its parts again. The stream has no data of
// its own, so that the page's role decides what the reader sees.
func serveLive(r *Request) (View, error) {
	if streams.Add(1) > mostStreams {
		streams.Add(-1)
		return View{}, &Problem{Status: http.StatusServiceUnavailable, Title: "Too many pages are open", Detail: "Load this page again for new numbers.", Retry: time.Minute}
	}
	return View{Raw: func(w http.ResponseWriter) {
		defer streams.Add(-1)
		control := http.NewResponseController(w)
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Accel-Buffering", "no") // a proxy must not wait for more
		for {
			changed := r.Console.sampler.changed()
			// A reader who was signed out, or whose role was removed, gets no further events.
			if reader, _ := r.Console.reader(r.Request); !reader.Roles.Has(Look) {
				return
			}
			_ = control.SetWriteDeadline(time.Now().Add(30 * time.Second)) // without it the write below fails
			if _, err := fmt.Fprint(w, "event: sample\ndata: {}\n\n"); err != nil || control.Flush() != nil {
				return
			}
			wait := 15 * time.Second // keeps proxies from closing the stream
			if r.Console.jobs.Load() {
				wait = jobTick
			}
			select {
			case <-r.Context().Done():
				return
			case <-changed:
			case <-time.After(wait):
			}
		}
	}}, nil
}

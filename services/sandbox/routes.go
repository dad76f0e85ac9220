package sandbox

import (
	"net/http"

	"github.com/signrelay/signrelay/libs/service"
	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
)

// maxForm bounds the body of every HTTP request: a Vonage form, or one of our own small requests.
const maxForm = 64 << 10

func (s *Server) routes() http.Handler {
	mux := service.NewRoutes()
	mux.TakeEscapes("/") // the providers' ids may contain any character

	for _, p := range s.parties {
		if p.Routes != nil {
			p.Routes(mux)
		}
	}

	// The sandbox's own page and API.
	mux.HandleFunc("GET /{$}", s.getPage)
	mux.HandleFunc("GET /emails/{number}", s.getEmail)
	mux.HandleFunc("GET /api/messages", s.getMessages)
	mux.HandleFunc("DELETE /api/messages", s.deleteMessages)
	mux.HandleFunc("GET /api/stories", s.getStories)
	mux.HandleFunc("POST /api/play", requireJSON(s.postPlay))
	mux.HandleFunc("GET /api/files", s.getFiles)
	mux.HandleFunc("GET /api/faults", s.getFaults)
	mux.HandleFunc("POST /api/faults", requireJSON(s.postFault))
	mux.HandleFunc("DELETE /api/faults", s.deleteFaults)

	return service.Private("sandbox.hosts", sandboxsettings.Section.Of(s.Config).Hosts, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		mux.ServeHTTP(w, r)
	}))
}

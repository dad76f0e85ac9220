// Package files simulates the servers from which the providers' addresses of files lead: an object store without credentials.
package files

import (
	"net/http"

	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sandbox/party"
)

const name = "files"

// Party is the servers of the providers' files.
var Party = party.Party{Name: name, Title: "the providers' files", Targets: []party.Target{target()}, New: open}

// target also fails in the ways in which a download fails.
func target() party.Target {
	t := party.HTTPTarget(name)
	t.Modes = append(t.Modes, party.Page, party.Large)
	return t
}

func open(env party.Env) (party.Simulator, error) {
	get := env.Faulty(name, writeError, env.Tickets.GetFile)
	return party.Simulator{Routes: func(mux *service.Routes) { mux.HandleFunc("GET /files/{ticket}/document.pdf", get) }}, nil
}

func writeError(w http.ResponseWriter, status int) { http.Error(w, http.StatusText(status), status) }

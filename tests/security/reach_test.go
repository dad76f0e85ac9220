package security

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
)

// For any ids and addresses in a callback, the enricher calls only the server in its settings, at the provider's documented paths.
func hostileIDs(t *testing.T, s *stand) {
	const source = "reach"
	canary := s.world.canary
	ids := []string{
		"../../x", "..", ".", "/x", "//" + canary.Host + "/x", canary.URL + "/x", "@" + canary.Host + "/x", ":x@" + canary.Host, `\\` + canary.Host + `\x`, "x?admin=1",
		"x#y", "%2e%2e%2f%2e%2e%2fx", "..%2f..%2fx", "..;/x", "x/../../y", "x\r\nHost: " + canary.Host, "x\x00", " ", "x y", "*", "{id}", "é", strings.Repeat("x", 9_000),
	}
	for i, id := range ids {
		for provider, fields := range map[string]map[string]any{
			"clickwrap":  {"event_type": "request_sent", "request": id, "id": fmt.Sprintf("r%d", i), "sent_to": canary.URL, "callback": canary.URL},
			"pleasesign": {"event": "document.created", "document_id": id, "id": fmt.Sprintf("r%d", i), "created_date": 1767323045, "url": canary.URL, "signing_url": canary.URL},
		} {
			body, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			c := clickwrap(source, string(body))
			if provider == "pleasesign" {
				c = pleasesign(source, string(body))
			}
			if a := s.send(t, c); a.status != http.StatusAccepted { // accepted, or quarantined if the id names no document
				t.Errorf("%s %q: %d %s", provider, id, a.status, a.text)
			}
		}
	}
	for i, uri := range []string{
		canary.URL + "/api/v1/document/abs-1/", "//" + canary.Host + "/api/v1/document/abs-2/", "/api/v1/document/../../../abs-3/", "/api/v1/document/..%2f..%2fabs-4/",
		"/api/v1/document/abs-5?x=" + canary.URL, "/api/v1/document/@" + canary.Host + "/", "/api/v1/document/.../", canary.URL + "/api/v1/signer/abs-6/", "/api/v1/signer/../abs-7/",
	} {
		for _, value := range []string{"10", "40"} {
			items, err := json.Marshal([]map[string]string{{"timestamp": fmt.Sprintf("2026-01-02T03:04:%02d", i), "name": "status", "value": value, "resource_uri": uri}})
			if err != nil {
				t.Fatal(err)
			}
			s.accepts(t, uri, s.esignAll(source, string(items)))
		}
	}
	// A signer whose document is on another server, according to the API.
	s.world.respondJSON("/api/v1/signer/elsewhere/", map[string]string{"document": canary.URL + "/api/v1/document/lured/"})
	s.accepts(t, "a signer of another server", s.esignAll(source, `[{"timestamp":"2026-01-02T03:04:05","name":"status","value":"40","resource_uri":"/api/v1/signer/elsewhere/"}]`))

	// A later document is requested, and so are the documents with unusual but valid ids.
	s.accepts(t, "an honest document", clickwrap(source, clickwrapSent("reach-last")))
	for _, requested := range []string{"reach-last", "abs-1", "abs-2", "%252e%252e%252f", "lured", "x%3Fadmin=1", "x%23y"} {
		s.Until(t, requested+" is requested", func() bool { return len(s.world.requestsAbout(requested)) > 0 })
	}
	canary.silent(t)
	s.world.mutex.Lock()
	defer s.world.mutex.Unlock()
	for _, q := range s.world.requests {
		if "http://"+q.host != s.world.URL {
			t.Errorf("a request has the host %s", q.host)
		}
		decoded, err := url.PathUnescape(q.path)
		if err != nil || path.Clean(decoded) != strings.TrimSuffix(decoded, "/") || !documented(q.path) {
			t.Errorf("requested %s", q.path)
		}
		credentials := q.header.Get("Authorization") + q.header.Get("X-Pleasesign-Secret")
		if !strings.Contains(credentials, clickwrapAPIToken) && !strings.Contains(credentials, pleasesignAPISecret) && !strings.Contains(credentials, esignAPISecret) {
			t.Errorf("requested %s without credentials", q.path)
		}
	}
}

// documented reports whether a path is one of a provider's documented paths, with an id in it.
func documented(path string) bool {
	for _, shape := range []string{
		"/v1.1/requests/*", "/document/*", "/document/*/master", "/recipient/*/signingurl",
		"/api/v1/document/*/", "/api/v1/signer/*/", "/api/v1/signer/*/new-link/", "/api/v1/pdf/*/",
	} {
		before, after, _ := strings.Cut(shape, "*")
		id, ok := strings.CutPrefix(path, before)
		if id, ok2 := strings.CutSuffix(id, after); ok && ok2 && id != "" && !strings.Contains(id, "/") {
			return true
		}
	}
	return false
}

// For any redirect, credentials and the ids in a path are sent only to the server in the settings.
func hostileRedirects(t *testing.T, s *stand) {
	const source = "reach"
	canary := s.world.canary
	to := []string{canary.URL + "/x", "//" + canary.Host + "/x", strings.Replace(canary.URL, "http://", "http://u:p@", 1), "https://" + canary.Host + "/x"}
	var requested []string
	for i, location := range to {
		for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
			id := fmt.Sprintf("redirect-%d-%d", i, status)
			away := func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Location", location)
				rw.WriteHeader(status)
			}
			s.world.response("/v1.1/requests/"+id+"-cw", away)
			s.world.response("/document/"+id+"-ps", away)
			s.world.response("/api/v1/document/"+id+"-es/", away)
			s.accepts(t, "clickwrap", clickwrap(source, clickwrapSent(id+"-cw")))
			s.accepts(t, "pleasesign", pleasesign(source, pleasesignSent(id+"-ps")))
			s.accepts(t, "esign", s.esignAll(source, esignSent(id+"-es")))
			requested = append(requested, id+"-cw", id+"-ps", id+"-es")
		}
	}
	for _, id := range requested { // the second request follows the response to the first
		s.Until(t, id+" is requested twice", func() bool { return len(s.world.requestsAbout(id)) >= 2 })
	}
	canary.silent(t)
	// A redirect on the same server is followed.
	s.world.response("/v1.1/requests/redirect-here", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, s.world.URL+"/v1.1/requests/redirect-there", http.StatusFound)
	})
	s.world.respondJSON("/v1.1/requests/redirect-there", clickwrapRequest("Redirected", signer{ID: "p", Email: "here@signer.example"}))
	s.accepts(t, "redirected here", clickwrap(source, clickwrapSent("redirect-here")))
	s.Until(t, "the document with the redirect on the same server has a message", func() bool { return len(s.world.emailsWith("Redirected")) == 1 })
}

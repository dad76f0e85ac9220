package party

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"time"
)

// WriteJSON responds with a body in JSON.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // strings and numbers; an error here is a client that is gone
}

// WritePage renders a page whole before it sends a byte, so that a mistake in a template is a 500 and not half a page.
func WritePage(w http.ResponseWriter, status int, page *template.Template, policy string, data any) {
	var body bytes.Buffer
	if err := page.Execute(&body, data); err != nil {
		http.Error(w, fmt.Sprintf("render %s: %v", page.Name(), err), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'; "+policy)
	// To ourselves the browser must say where a form comes from, or it is taken for a page's elsewhere.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // the browser is gone, and nobody is left to tell
}

// LiftDeadlines takes away the connection's deadlines: a story takes as long as its pauses and ingest's outages, and a read deadline
// that passes ends the request's context.
func LiftDeadlines(w http.ResponseWriter) error {
	connection := http.NewResponseController(w)
	if err := errors.Join(connection.SetReadDeadline(time.Time{}), connection.SetWriteDeadline(time.Time{})); err != nil {
		return errors.New("the connection's deadlines could not be lifted")
	}
	return nil
}

// PublicURL is what links to the sandbox begin with: the host that the caller knows it by.
func PublicURL(r *http.Request) string { return "http://" + r.Host }

// IsWebURL tells an absolute http or https address.
func IsWebURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// Same compares a secret in constant time; a secret that is not set is never the same.
func Same(given, secret string) bool {
	return secret != "" && subtle.ConstantTimeCompare([]byte(given), []byte(secret)) == 1
}

// RandomHex returns n random bytes as lower-case hex.
func RandomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b)
}

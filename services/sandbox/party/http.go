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
	_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // strings and numbers; an error means that the client has disconnected
}

// WritePage renders a page completely before it sends a byte. So a mistake in a template causes a 500 instead of half a page.
func WritePage(w http.ResponseWriter, status int, page *template.Template, policy string, data any) {
	var body bytes.Buffer
	if err := page.Execute(&body, data); err != nil {
		http.Error(w, fmt.Sprintf("render %s: %v", page.Name(), err), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'; "+policy)
	// The browser must send its origin with our own form. Otherwise the form is refused as cross-site.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // an error means that the browser has disconnected
}

// LiftDeadlines removes the connection's deadlines. A story takes as long as its pauses and the outages of ingest, and a read deadline would
// cancel the request's context.
func LiftDeadlines(w http.ResponseWriter) error {
	connection := http.NewResponseController(w)
	if err := errors.Join(connection.SetReadDeadline(time.Time{}), connection.SetWriteDeadline(time.Time{})); err != nil {
		return errors.New("the connection's deadlines could not be removed")
	}
	return nil
}

// PublicURL returns the beginning of links to the sandbox, with the host that the caller used.
func PublicURL(r *http.Request) string { return "http://" + r.Host }

// IsWebURL reports whether the text is an absolute http or https URL.
func IsWebURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// Same compares a secret in constant time. It returns false if no secret is set.
func Same(given, secret string) bool {
	return secret != "" && subtle.ConstantTimeCompare([]byte(given), []byte(secret)) == 1
}

// RandomHex returns n random bytes as lower-case hex.
func RandomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails, because crypto/rand ends the program instead
	return hex.EncodeToString(b)
}

package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/services/console"
	consolesettings "github.com/signrelay/signrelay/services/console/settings"
)

// A reader who knows the name of another reader's search or view gets nothing, and changes nothing. An event of another document is not shown on a
// page of this one.
func TestNoReaderReachesWhatIsAnothers(t *testing.T) {
	t.Parallel()
	s := fill(t, "private")
	s.three()
	var users []string
	for _, name := range []string{"mara", "otto"} {
		line, err := console.UserLine(name, goodPassword, []string{"private"})
		must(t, err)
		users = append(users, line)
	}
	consolesettings.Section.In(&s.Env.Config).Users = strings.Join(users, "\n")
	s.Env.Live = config.NewLive(s.Env.Config)
	s.bench = s.restart()
	mara, otto := s.browser(), s.browser()
	s.signIn(mara, "mara", goodPassword, "/")
	s.signIn(otto, "otto", goodPassword, "/")
	token := func(c *http.Client) string {
		_, page := s.get(c, "/documents")
		return s.token(page)
	}
	change := func(c *http.Client, form url.Values) *http.Response {
		form.Set("token", token(c))
		response, _ := s.do(c, http.MethodPost, "/documents/views", form, "text/html")
		return response
	}

	response, _ := s.do(mara, http.MethodPost, "/documents", url.Values{"token": {token(mara)}, "q": {"+61491570156"}}, "text/html")
	search := response.Header.Get("Location")
	view := change(mara, url.Values{"do": {"save"}, "name": {"Mine"}, "q": {"wil"}}).Header.Get("Location")
	for what, address := range map[string]string{"search": search, "view": view} {
		if response, _ := s.get(mara, address); response.StatusCode != http.StatusOK {
			t.Errorf("the own %s: status %d", what, response.StatusCode)
		}
		if response, page := s.get(otto, address); response.StatusCode != http.StatusNotFound || strings.Contains(page, "Wilson") {
			t.Errorf("another reader's %s: status %d", what, response.StatusCode)
		}
	}
	id := strings.TrimPrefix(view, "/documents?view=")
	for _, do := range []string{"rename", "delete"} {
		if response := change(otto, url.Values{"do": {do}, "view": {id}, "name": {"Otto’s"}}); response.StatusCode != http.StatusNotFound {
			t.Errorf("%s of another reader's view: status %d", do, response.StatusCode)
		}
	}
	if response, page := s.get(mara, view); response.StatusCode != http.StatusOK || !strings.Contains(page, "Mine") {
		t.Errorf("the view afterwards: status %d", response.StatusCode)
	}
}

// The page of a document shows no callback of another one.
func TestCallbackOfAnotherDocumentIsNotShown(t *testing.T) {
	t.Parallel()
	b := roles(t, "private")
	ids := map[string]string{}
	for _, id := range []string{"D1", "D2"} {
		ids[id] = b.callback(id, `{"of":"`+id+`"}`).GetId()
	}
	if response, page := b.get(b.browser(), pathOf("D1")+"?raw="+ids["D1"]); response.StatusCode != http.StatusOK || !strings.Contains(page, "D1&#34;}") {
		t.Errorf("the own callback: status %d:\n%s", response.StatusCode, page)
	}
	for _, query := range []string{"?raw=" + ids["D2"], "?raw=" + ids["D2"] + "&get=bytes"} {
		if response, page := b.get(b.browser(), pathOf("D1")+query); response.StatusCode != http.StatusNotFound || strings.Contains(page, `"of"`) {
			t.Errorf("another document's callback: status %d", response.StatusCode)
		}
	}
}

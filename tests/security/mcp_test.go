package security

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	consolesettings "github.com/signrelay/signrelay/services/console/settings"
)

// tool calls a tool of the MCP server with a user's credential, and returns the status and the body.
func (c *consoleUnderAttack) tool(client *http.Client, user, tool, arguments string, header ...string) (int, string) {
	c.t.Helper()
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, tool, arguments)
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url+"/mcp", strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if user != "" {
		r.SetBasicAuth(user, consolePassword)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var text strings.Builder
	var result json.RawMessage
	if response.StatusCode == http.StatusOK {
		if err := json.NewDecoder(response.Body).Decode(&result); err != nil {
			c.t.Fatal(err)
		}
		text.Write(result)
	}
	return response.StatusCode, text.String()
}

// Each tool has a role, and a user without it gets the name of the role and nothing else. A session of a browser is no credential.
func TestModelsRolesHold(t *testing.T) {
	t.Parallel()
	c := openConsole(t)
	browser := c.client()
	c.signIn(browser, "operate", consolePassword, "/") //nolint:bodyclose // signIn has closed it
	for _, row := range []struct{ tool, arguments, role string }{
		{"find_documents", `{}`, "look"},
		{"explain_document", `{"document_id":"none"}`, "look"},
		{"list_stuck", `{}`, "look"},
		{"show_job", `{}`, "look"},
		{"plan_replay", `{"what":"dead","all_that_match":true}`, "operate"},
		{"plan_drop", `{"what":"dead","all_that_match":true}`, "operate"},
		{"plan_release", `{"what":"held","all_that_match":true}`, "operate"},
		{"start_plan", `{"plan_token":"x","items":1,"reason":"ticket 17"}`, "operate"},
		{"explain_document", `{"document_id":"none","texts":true}`, "private"},
	} {
		if status, body := c.tool(browser, "", row.tool, row.arguments); status != http.StatusUnauthorized {
			t.Errorf("%s with a cookie: status %d: %s", row.tool, status, body)
		}
		for _, role := range consolesettings.Roles {
			status, body := c.tool(c.client(), role, row.tool, row.arguments)
			refused := strings.Contains(body, "the role "+row.role) || strings.Contains(body, "takes the role "+row.role)
			if may := row.role == "look" || role == row.role; status != http.StatusOK || refused == may {
				t.Errorf("%s with the role %s: status %d: %s", row.tool, role, status, body)
			}
		}
	}
	if !slices.Contains(consolesettings.Roles, "operate") {
		t.Error("no role was tried")
	}
}

// A page of another site cannot call a tool with the credential that a browser keeps for the console.
func TestModelsListenerRefusesOtherSites(t *testing.T) {
	t.Parallel()
	c := openConsole(t)
	for name, header := range map[string][]string{
		"another site":         {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
		"a host of the domain": {"Sec-Fetch-Site", "same-site", "Origin", "https://other.acme.example"},
		"an older browser":     {"Origin", "https://evil.example"},
	} {
		if status, _ := c.tool(c.client(), "operate", "list_stuck", `{}`, header...); status != http.StatusForbidden {
			t.Errorf("%s: status %d", name, status)
		}
	}
	if status, _ := c.tool(c.client(), "operate", "list_stuck", `{}`, "Content-Type", "text/plain"); status != http.StatusUnsupportedMediaType { // no preflight protects it
		t.Errorf("a form's content type: status %d", status)
	}
	if status, body := c.tool(c.client(), "operate", "list_stuck", `{}`); status != http.StatusOK {
		t.Errorf("a script: status %d: %s", status, body)
	}
}

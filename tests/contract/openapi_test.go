package contract_test

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/tests/testenv"
)

// openAPI is openapi.yaml with the responses seen so far.
type openAPI struct {
	model *openapi3.T
	seen  map[responseKind]bool
}

// responseKind is a documented response: "POST", "/webhooks/clickwrap/{source}", "202".
type responseKind struct{ method, path, status string }

func (a responseKind) String() string { return a.method + " " + a.path + " " + a.status }

func openapi(t *testing.T) *openAPI {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	model, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		t.Fatal(err)
	}
	return &openAPI{model: model, seen: map[responseKind]bool{}}
}

func TestDocumentIsOpenAPI(t *testing.T) {
	t.Parallel()
	o := openapi(t)
	if err := o.model.Validate(t.Context(), openapi3.EnableMultiError()); err != nil {
		t.Error(err)
	}
	// The same check finds errors.
	o.model.Paths.Value("/livez").Get.Responses.Value("200").Value.Description = nil
	o.model.Components.Schemas["Problem"].Value.Type = &openapi3.Types{"text"}
	err := o.model.Validate(t.Context(), openapi3.EnableMultiError())
	for _, want := range []string{"description", "text"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a broken document: %v, want an error about %q", err, want)
		}
	}
}

// Every enum of channels in the document has all channels. An invitation can also be sent again by the provider.
func TestDocumentedChannels(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	enums := regexp.MustCompile(`channel\b.*enum: \[([^\]]*)\]`).FindAllStringSubmatch(string(data), -1)
	if len(enums) < 3 {
		t.Errorf("docs/openapi.yaml has %d enums of channels", len(enums))
	}
	for _, enum := range enums {
		if want := strings.Join(event.ChannelNames(), ", "); strings.TrimSuffix(enum[1], ", "+event.ByProvider) != want {
			t.Errorf("docs/openapi.yaml: the channels are [%s], want [%s]", enum[1], want)
		}
	}
}

// Every program of the tests has a source of each provider.
func TestEnvironmentHasASourceOfEveryProvider(t *testing.T) {
	t.Parallel()
	settings := testenv.SandboxSettings(&testenv.Env{})
	for _, p := range providers.All {
		if !strings.Contains(settings, "{name: demo, provider: "+p.Name+",") {
			t.Errorf("tests/testenv/env.go: SandboxSettings has no source of %s", p.Name)
		}
	}
}

// responses returns all documented responses.
func (o *openAPI) responses() []responseKind {
	var all []responseKind
	for path, item := range o.model.Paths.Map() {
		for method, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				all = append(all, responseKind{method, path, status})
			}
		}
	}
	return all
}

// check compares a response with the document: status, headers, content type, body. If the path does not have the request's method, the
// response must be one of the operation that documents it.
func (o *openAPI) check(t *testing.T, path string, req *http.Request, a observed) {
	t.Helper()
	item := o.model.Paths.Value(path)
	if item == nil {
		t.Fatalf("%s is not documented", path)
	}
	method, status := req.Method, strconv.Itoa(a.status)
	operation := item.GetOperation(method)
	if operation == nil && a.status == http.StatusMethodNotAllowed {
		for _, other := range slices.Sorted(maps.Keys(item.Operations())) {
			if candidate := item.GetOperation(other); candidate.Responses.Value(status) != nil {
				method, operation = other, candidate
			}
		}
	}
	if operation == nil {
		t.Errorf("%s %s is not documented", method, path)
		return
	}
	documented := operation.Responses.Value(status)
	if documented == nil {
		t.Errorf("%s %s: status %s is not documented: %s", method, path, status, a.body)
		return
	}
	o.seen[responseKind{method, path, status}] = true

	checked := req.Clone(t.Context())
	checked.Method = method
	in := &openapi3filter.RequestValidationInput{
		Request: checked, PathParams: parameters(t, path, req.URL.Path), QueryParams: req.URL.Query(),
		Route:   &routers.Route{Spec: o.model, Path: path, PathItem: item, Method: method, Operation: operation},
		Options: &openapi3filter.Options{MultiError: true, RejectWhenRequestBodyNotSpecified: true, AuthenticationFunc: credential},
	}
	if a.status < 300 {
		o.checkRequest(t, in)
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)),
		Options: &openapi3filter.Options{MultiError: true, IncludeResponseStatus: true},
	}
	if method == http.MethodHead { // the validator does not check the headers of a response to HEAD
		get := *in
		get.Request = checked.Clone(t.Context())
		get.Request.Method = http.MethodGet
		out.RequestValidationInput, out.Options.ExcludeResponseBody = &get, true
	}
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
		t.Errorf("%s %s %s: %v\n%.300s", method, path, status, err, a.body)
	}
	// The validator does not check that a response without documented content has no body.
	if len(documented.Value.Content) == 0 && len(a.body) > 0 {
		t.Errorf("%s %s %s has a body that is not documented: %.100s", method, path, status, a.body)
	}
}

// checkRequest compares an accepted request with the document.
func (o *openAPI) checkRequest(t *testing.T, in *openapi3filter.RequestValidationInput) {
	t.Helper()
	body, err := in.Request.GetBody() // the first one is used up
	if err != nil {
		t.Fatal(err)
	}
	in.Request.Body = body
	if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
		t.Errorf("%s %s is accepted but does not conform to the document: %v", in.Request.Method, in.Request.URL.Path, err)
	}
}

// parameters returns the values of a documented path's parameters.
func parameters(t *testing.T, documented, path string) map[string]string {
	t.Helper()
	values, names, parts := map[string]string{}, strings.Split(documented, "/"), strings.Split(path, "/")
	if len(names) != len(parts) {
		t.Fatalf("%s is not at %s", path, documented)
	}
	for i, name := range names {
		if strings.HasPrefix(name, "{") {
			values[strings.Trim(name, "{}")] = parts[i]
		} else if name != parts[i] {
			t.Fatalf("%s is not at %s", path, documented)
		}
	}
	return values
}

// credential reports a request without its documented credential.
func credential(_ context.Context, in *openapi3filter.AuthenticationInput) error {
	request, scheme := in.RequestValidationInput.Request, in.SecurityScheme
	switch {
	case scheme.Type != "apiKey":
	case scheme.In == "header" && request.Header.Get(scheme.Name) != "", scheme.In == "query" && request.URL.Query().Get(scheme.Name) != "":
		return nil
	}
	return in.NewError(fmt.Errorf("the request lacks %s in its %s", scheme.Name, scheme.In))
}

// undocumented are the routes that openapi.yaml leaves out, with the reason.
var undocumented = map[string]string{
	"/debug/pprof/":        "Go's own",
	"/debug/pprof/profile": "Go's own",
	"/debug/pprof/symbol":  "Go's own",
	"/debug/pprof/trace":   "Go's own",
	"/webhooks":            "the response names the missing part of the path",
	"/webhooks/":           "ingest splits it into provider, source and path",

	"GET /{$}":             "the sandbox's page",
	"GET /emails/{number}": "the sandbox's page",

	"GET /signin":               "the console's page, for browsers",
	"POST /signin":              "the console's page, for browsers",
	"POST /signout":             "the console's page, for browsers",
	"GET /signin/oidc":          "leads a browser to the identity provider",
	"GET /signin/oidc/callback": "the identity provider leads a browser back to it",
	"GET /live":                 "says to a page of the console that there is news",
	"GET /assets/{name}":        "a file of the console's pages",
}

// subfolders are the folders in a folder, without these.
func subfolders(t *testing.T, folder string, without ...string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(testenv.Root(), folder))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !slices.Contains(without, e.Name()) {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		t.Fatalf("%s has no folders", folder)
	}
	return names
}

// Every route of the code is documented or left out with a reason, and every documented path has a route. Ingest's routes come from the
// packs. The routes of a party in the sandbox are another one's API.
func TestDocumentedRoutesMatchTheCode(t *testing.T) {
	t.Parallel()
	o := openapi(t)
	documented := map[string]bool{}
	for _, a := range o.responses() {
		documented[a.method+" "+a.path] = true
	}
	routes := map[string]bool{}
	for _, folder := range []string{"services", "libs/service"} {
		maps.Copy(routes, registered(t, filepath.Join(testenv.Root(), folder)))
	}
	for _, party := range subfolders(t, "services/sandbox", "cmd", "party", "sandboxtest", "settings") {
		for route := range registered(t, filepath.Join(testenv.Root(), "services", "sandbox", party)) {
			if !documented[route] { // the console has GET /documents, too
				delete(routes, route)
			}
		}
	}
	vendors := subfolders(t, "services/sms-sender", "cmd", "gateway", "settings")
	for route := range maps.Clone(routes) { // the SMS vendor's name is part of the paths of its receipts and texts
		if strings.HasSuffix(route, " /receipts/*/{source}") || strings.HasSuffix(route, " /inbound/*/{source}") {
			delete(routes, route)
			for _, vendor := range vendors {
				routes[strings.Replace(route, "*", vendor, 1)] = true
			}
		}
	}
	for _, p := range providers.All {
		for _, r := range p.Routes {
			for _, method := range r.Methods {
				routes[method+" /webhooks/"+p.Name+"/{source}"+r.Path] = true
			}
		}
	}
	for route := range routes {
		if undocumented[route] == "" && !documented[route] {
			t.Errorf("the code has the route %q, which openapi.yaml lacks", route)
		}
	}
	for route := range undocumented {
		if !routes[route] {
			t.Errorf("the code no longer has the route %q", route)
		}
	}
	for route := range documented {
		if !routes[route] && !routes[strings.Replace(route, "HEAD ", "GET ", 1)] { // GET's pattern also accepts HEAD
			t.Errorf("openapi.yaml has %q, and no code registers it", route)
		}
	}
	if len(routes) < 28 {
		t.Errorf("found %d routes; are they still registered with Handle and HandleFunc?", len(routes))
	}
}

var looksLikeARoute = regexp.MustCompile(`^([A-Z]+ )?/`)

// registered returns the patterns that the folder's code registers in a ServeMux; "*" replaces a variable.
func registered(t *testing.T, folder string) map[string]bool {
	t.Helper()
	routes := map[string]bool{}
	eachFile(t, folder, func(path string, file *ast.File) {
		variables := map[string]ast.Expr{} // sums of strings that a route may consist of
		ast.Inspect(file, func(n ast.Node) bool {
			if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == 1 && len(a.Rhs) == 1 {
				if name, ok := a.Lhs[0].(*ast.Ident); ok {
					if sum, ok := a.Rhs[0].(*ast.BinaryExpr); ok {
						variables[name.Name] = sum
					}
				}
			}
			return true
		})
		ast.Inspect(file, func(n ast.Node) bool {
			if method, path, ok := consolePage(n); ok {
				routes[method+" "+strings.NewReplacer("{$}", "", "...}", "}").Replace(path)] = true
				return true
			}
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 2 {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || method.Sel.Name != "Handle" && method.Sel.Name != "HandleFunc" {
				return true
			}
			pattern := pattern(call.Args[0], variables)
			if strings.HasSuffix(path, filepath.Join("console", "server.go")) { // it registers the literals of type Page
				return true
			}
			if !looksLikeARoute.MatchString(pattern) {
				t.Errorf("%s registers a route that this test cannot parse: %s", path, pattern)
			}
			routes[strings.Replace(pattern, "...}", "}", 1)] = true // it matches the rest of a path, too
			return true
		})
	})
	return routes
}

// consolePage returns the method and the path of a literal of the console's type Page, whose fields have no names.
func consolePage(n ast.Node) (method, path string, ok bool) {
	page, ok := n.(*ast.CompositeLit)
	if !ok || page.Type != nil || len(page.Elts) != 6 {
		return "", "", false
	}
	method, isMethod := literal(page.Elts[0])
	path, isPath := literal(page.Elts[1])
	return method, path, isMethod && isPath && looksLikeARoute.MatchString(method+" "+path)
}

func pattern(e ast.Expr, variables map[string]ast.Expr) string {
	if name, ok := e.(*ast.Ident); ok && variables[name.Name] != nil {
		e = variables[name.Name]
	}
	if sum, ok := e.(*ast.BinaryExpr); ok {
		return strings.ReplaceAll(pattern(sum.X, variables)+pattern(sum.Y, variables), "**", "*")
	}
	if word, ok := literal(e); ok {
		return word
	}
	return "*"
}

// unprovoked are the documented responses that this test cannot cause, and the test that does.
var unprovoked = map[string]string{
	"POST /api/play 409": "in a sandbox every provider has a source; services/sandbox tests it",
	"POST /mcp 401":      "the demo has no sign-in; services/console tests it",
	"POST /mcp 429":      "the demo has no sign-in; services/console tests it",

	"GET /sources/{provider}/{name}/sign-in 303":      noApplication,
	"GET /sources/{provider}/{name}/sign-in 403":      noApplication,
	"GET /sources/{provider}/{name}/sign-in/done 303": noApplication,
	"GET /sources/{provider}/{name}/sign-in/done 403": noApplication,
	"GET /sources/{provider}/{name}/sign-in/done 502": noApplication,
}

const noApplication = "the demo's sources have keys; services/console tests a source with an application"

// everyResponseWasSeen fails for each documented response that did not occur.
func (o *openAPI) everyResponseWasSeen(t *testing.T) {
	t.Helper()
	for _, a := range o.responses() {
		if !o.seen[a] && unprovoked[a.String()] == "" {
			t.Errorf("%s is documented and was not seen", a)
		}
		if o.seen[a] && unprovoked[a.String()] != "" {
			t.Errorf("%s was seen; remove it from the list", a)
		}
	}
	if n := len(o.seen); n < 50 {
		t.Errorf("%d responses were seen: %v", n, slices.Collect(maps.Keys(o.seen)))
	}
}

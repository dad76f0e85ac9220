package security

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/tests/testenv"
)

// guard is code that stops an attack. Without it, the attack's test must fail.
type guard struct {
	name    string
	file    string
	without []edit

	module, pkg, run string // the test
	message          string // a text in its output, in addition to the failure
}

// edit replaces a text that occurs once in the file.
type edit struct{ was, is string }

// attacks is the prefix of the subtests in tests/security.
const attacks = "TestAttacks/while/"

// guards has the order of SECURITY.md.
var guards = []guard{
	// The console.
	{"a page needs its role", "services/console/page.go",
		[]edit{{"p.Role != Anyone && !r.Can(p.Role)", "false && !r.Can(p.Role)"}},
		"tests", "security", "TestConsoleRolesHold", "POST /stuck with the role look: status 410"},
	{"a page needs a sign-in", "services/console/page.go",
		[]edit{{"p.Role == 0 || !r.Can(Anyone) && p.Role != Anyone", "false"}},
		"tests", "security", "TestConsoleRolesHold", "without a sign-in: status 403"},
	{"a form needs its session's token", "services/console/server.go",
		[]edit{{"return id != \"\" && hmac.Equal([]byte(s.token(id)), []byte(token))", "return hmac.Equal(nil, nil)"}},
		"tests", "security", "TestConsoleRefusesForgedForms", "no token: status 422"},
	{"a page of another site cannot send a form", "services/console/server.go",
		[]edit{{"return service.Private(\"console.hosts\", hosts, mux)", "_ = service.Private(\"console.hosts\", hosts, mux)\n\treturn mux"}},
		"tests", "security", "TestConsoleRefusesForgedForms", "another site: status 422"},
	{"no page may be framed or run other scripts", "services/console/server.go",
		[]edit{{"script-src 'self'; ", ""}, {"base-uri 'none'; frame-ancestors 'none'", ""}},
		"tests", "security", "TestConsoleCannotBeFramedOrScripted", "the policy lacks"},
	{"a sign-in ends the session that the browser had", "services/console/signin.go",
		[]edit{{"	s.sessions.end(s.cookieOf(r.Request, \"session\"))\n	settings := s.settings", "	settings := s.settings"}},
		"tests", "security", "TestConsoleSessionsCannotBeFixed", "the planted session still works"},
	{"next leads to the console only", "services/console/signin.go",
		[]edit{{"	if err != nil || u.Scheme != \"\"", "	if true {\n\t\treturn next\n\t}\n\tif err != nil || u.Scheme != \"\""}},
		"tests", "security", "TestConsoleLeadsToNoOtherSite", "leads to \"//evil.example\""},
	// Go's router resolves ".." before a route sees the path.
	{"an address of an asset is a name of a list, and no path of a file", "services/console/asset.go",
		[]edit{{"	a := assetsByName[r.PathValue(\"name\")]\n", "	body, err := assetFiles.ReadFile(path.Join(\"assets\", r.PathValue(\"name\")))\n\ta := &asset{body: body, zipped: assets[\"console.css\"].zipped}\n\tif err != nil {\n\t\ta = nil\n\t}\n"}},
		"tests", "security", "TestConsoleServesNoOtherFile", "/assets/console.css: status 200"},
	{"failed sign-ins are limited", "services/console/signin.go",
		[]edit{{"wait > 0 {", "false && wait > 0 {"}},
		"tests", "security", "TestConsolePasswordsCannotBeGuessed", "the sixth attempt: status 303"},
	{"a model needs a credential with each request", "services/console/page.go",
		[]edit{{"if err := s.authenticate(r); err != nil {", "if err := error(nil); err != nil {"}},
		"tests", "security", "TestModelsRolesHold", "with a cookie: status 200"},
	{"a model starts a plan only with the role", "services/console/mcp_plan.go",
		[]edit{{"if err := r.mayAct(); err != nil {", "if err := r.mayAct(); err != nil && false {"}},
		"tests", "security", "TestModelsRolesHold", "start_plan with the role look"},
	{"a model gets names only with the role", "services/console/mcp_find.go",
		[]edit{{"if r.Can(Private) {\n\t\twhole, err", "if true {\n\t\twhole, err"}},
		"services/console", ".", "TestModelWithoutPrivateSeesNothingPersonal", "a response has"},
	{"guesses at a model's password are limited", "services/console/mcp_signin.go",
		[]edit{{"wait > 0 {", "false && wait > 0 {"}},
		"services/console", ".", "TestModelSignsInWithEachRequest", "guess 6: status 401"},

	{"an action on a document needs its own role", "services/console/document_action.go",
		[]edit{{"	if !r.Can(roleOf(do)) {", "	if false {"}},
		"services/console", ".", "TestInvitationIsSentAgain", "erase: status 200"},
	{"the form of a correction needs the role private", "services/console/document_action.go",
		[]edit{{"return Operate | Private", "return Operate"}},
		"services/console", ".", "TestCorrectionTakesBothRoles", "as application/json: status 200"},
	{"a read-only console refuses each action", "services/console/page.go",
		[]edit{{"if s.settings.Now().ReadOnly &&", "if false && s.settings.Now().ReadOnly &&"}},
		"services/console", ".", "TestLookCannotAct/read-only", "status 4"},
	{"a reader without the role private sees a masked document", "services/console/document.go",
		[]edit{{"		d = d.Masked()\n	}\n	data := ", "	}\n	data := "}},
		"services/console", ".", "TestNoRouteNamesAPerson", "has \"Secret contract\""},
	{"a reader without the role private gets no raw callback, file or evidence", "services/console/document.go",
		[]edit{{"	if r.Can(Private) {\n		return nil\n	}\n	return &Problem{", "	if true || r.Can(Private) {\n		return nil\n	}\n	return &Problem{"}},
		"services/console", ".", "TestNoRouteNamesAPerson", "has \"Secret contract\""},
	{"a search belongs to its session", "services/console/search.go",
		[]edit{{"if !known || !hmac.Equal([]byte(own), []byte(token)) {", "if _ = own; !known {"}},
		"services/console", ".", "TestNoReaderReachesWhatIsAnothers", "another reader's search: status 200"},
	{"a view belongs to its reader", "services/console/views.go",
		[]edit{{"return r.Reader.Via + \":\" + r.Reader.Name", "return \"all\""}},
		"services/console", ".", "TestNoReaderReachesWhatIsAnothers", "another reader's view: status 200"},
	{"a title is text, also where the search marks a part of it", "services/console/documents.go",
		[]edit{{"	b.WriteString(template.HTMLEscapeString(text[at:]))", "	b.WriteString(text[at:])"}},
		"services/console", ".", "TestHostileTitlesAreText", "has the title as markup"},
	{"a page that another site opened is not compressed", "services/console/compress.go",
		[]edit{{"return (site == \"same-origin\" || site == \"none\") &&", "return (site == \"same-origin\" || true) &&"}},
		"tests", "security", "TestConsoleCompressesNoPageOfAnotherSite", "[Sec-Fetch-Site cross-site]"},

	// Replays.
	{"ingest looks up in the log what the dedupe store may have lost", "services/ingest/ask.go",
		[]edit{{"if it.event == nil || it.state == everUnsure {", "if true || it.event == nil {"}},
		"tests", "security", "TestReplaysAfterTheMemoryEnds", "the log holds 2 events of late-"},
	{"a sender looks up in the log what the dedupe store may have lost", "libs/notification/forgotten.go",
		[]edit{{"return n.GetRecordedAt() == nil || now", "return n.GetRecordedAt() == nil && now"}},
		"libs", "notification", "TestASenderQueriesTheLogForExpiredClaims", ""},
	{"callbacks older than the log are marked", "services/ingest/ask.go",
		[]edit{{"if it.state != fresh || happened == nil ||", "if true || it.state != fresh || happened == nil ||"}},
		"services/ingest", ".", "TestEventsOlderThanTheLogAreMarked", ""},

	// Stolen NATS users.
	{"the keys of links are MACs", "services/shortener/sealer.go",
		[]edit{{"key := keyOf(of, mac)", "key := keyOf(of, mac)\n\t\t\tif of == ofCode {\n\t\t\t\tkey = of + what\n\t\t\t}"}},
		"tests", "security", "TestStolenNATSUser", "shortener finds"},
	{"the values of links are sealed", "services/shortener/sealer.go",
		[]edit{{"return s.values.Seal(value, []byte(key))", "return value"}, {"return values.Open(value, []byte(key))", "return value, nil"}},
		"tests", "security", "TestStolenNATSUser", "shortener finds"},
	{"a service describes only its own streams", "libs/flow/permission.go",
		[]edit{{"\tstreamInfo + \"KV_\" + State,\n", "\tstreamInfo + \"KV_\" + State,\n\tstreamInfo + \"KV_LINKS\",\n"}},
		"tests", "security", "TestStolenNATSUser", "gets the keys of links: true"},

	// A local user of the broker's machine.
	{"the embedded broker has a password", "services/standalone/broker.go",
		[]edit{{"\t\tUsername:           cfg.NATS.User,\n", ""}, {"\t\tPassword:           cfg.NATS.Password,\n", ""}},
		"tests", "security", "TestLocalUserCannotReachBroker", "no password: let in"},
	{"other users cannot write to the data directory", "services/standalone/folder.go",
		[]edit{{"case info.Mode().Perm()&0o022 != 0:", "case false:"}},
		"tests", "security", "TestDataDirectoryIsPrivate/a_folder", "refused false"},
	{"other machines need credentials for the broker", "services/standalone/broker.go",
		[]edit{{"case n.User == \"\" && !onLoopback(n.Addr):", "case false:"}},
		"tests", "security", "TestBrokerOnNetworkNeedsCredentials", "refused false"},

	// Stolen Redis users.
	{"a confirmation needs the master key", "libs/dedupe/entry.go",
		[]edit{{"return nil, hmac.Equal([]byte(entry), []byte(e.tag(id)))", "return nil, hmac.Equal(nil, nil)"}},
		"libs", "dedupe", "TestNoConfirmationIsForged", ""},
	{"names of keys need the master key", "libs/dedupe/entry.go",
		[]edit{{"if e.keys == nil {\n\t\tif len(e.parts) > 1 {", "if true {\n\t\tif len(e.parts) > 1 {"}, {"return \"1\" + string(d.Result)\n\tcase", "return \"1\" + string(d.Result)\n\tcase len(d.Result) == 0 && true:\n\t\treturn \"1\"\n\tcase"}, {"return nil, hmac.Equal([]byte(entry), []byte(e.tag(id)))", "return nil, entry == \"1\""}},
		"tests", "security", "TestStolenRedisPasswordHidesNoEvent", "ingest wrote claimed by another: status 503"},
	{"a Redis user writes only its own rates", "libs/flow/redis.go",
		[]edit{{"\"signrelay:limit:{\"+rate+\"/*\"", "\"signrelay:limit:{*\"+rate[:0]"}},
		"tests", "security", "TestStolenRedisPasswordStopsNoSource", "writes signrelay:limit:{api/clickwrap/demo}:next: <nil>"},

	// Stolen users of the stages before the senders.
	{"a sender sends only our links", "libs/notification/cause.go",
		[]edit{{"link != nil && !d.Links.Ours(link.GetShort())", "false && !d.Links.Ours(link.GetShort())"}},
		"tests", "security", attacks + "stolen_credentials", ""},
	{"a sender requires a cause in the log", "libs/notification/cause.go",
		[]edit{{"return d.causes.verify(ctx, in.Data, in.Attempt)", "return nil"}},
		"tests", "security", attacks + "stolen_credentials", ""},

	// Pumping.
	{"a number gets few texts per hour", "libs/notification/limits.go",
		[]edit{{"case full == limit.Counted:\n\t\treturn 0, nil", "case full == limit.Counted || true:\n\t\treturn 0, nil"}},
		"tests", "security", "TestPumping/one_number", "300 texts were sent, want 10"},
	{"texts go to mobile numbers in known countries", "libs/notification/limits.go",
		[]edit{{"if l.destination != nil {", "if false {"}},
		"tests", "security", "TestPumping/expensive_numbers", ""},

	// Titles and names.
	{"a linkifier finds nothing in a title", "libs/templates/links.go",
		[]edit{{"func unlinked(s string) string {\n", "func unlinked(s string) string {\n\tif true {\n\t\treturn s\n\t}\n"}},
		"tests", "security", attacks + "titles_and_names_in_messages", ""},
	{"look-alikes are Latin letters", "libs/templates/lookalikes.go",
		[]edit{{"func oneScript(s string) string {\n", "func oneScript(s string) string {\n\tif true {\n\t\treturn s\n\t}\n"}},
		"libs", "templates", "TestLookAlikes", ""},
	{"a terminal gets no control characters", "libs/printable/printable.go",
		[]edit{{"return unicode.IsControl(r) ||", "return r > unicode.MaxRune && unicode.IsControl(r) ||"}, {"if plainASCII(text, keep) {\n\t\treturn text", "if true || plainASCII(text, keep) {\n\t\treturn text"}},
		"tests", "security", attacks + "an_operator's_terminal", "prints U+"},
	{"a record is one line on a terminal", "services/standalone/cmd/signrelay/say.go",
		[]edit{{"printable.Line(fmt.Sprintf(format, args...))", "printable.Lines(fmt.Sprintf(format, args...))"}},
		"tests", "security", attacks + "an_operator's_terminal", "a stranger's line"},
	{"an address is on the internet", "libs/mailbox/mailbox.go",
		[]edit{{"return len(domain) <= 253 &&", "return true || len(domain) <= 253 &&"}},
		"tests", "security", attacks + "addresses_of_people", "e-mails to"},

	// Browsers.
	{"a private listener knows its names", "libs/service/private.go",
		[]edit{{"case !isOurs(r.Host, hosts):", "case false:"}},
		"tests", "security", "TestListeners/private_listeners_under_foreign_names", "as evil.example:"},
	{"a page of another site changes nothing", "libs/service/private.go",
		[]edit{{"changes := http.NewCrossOriginProtection().Handler(next)", "changes := next"}, {"case embedded(r):", "case false:"}},
		"tests", "security", "TestListeners/the_sandbox's", "another site: DELETE /api/messages: 204"},
	{"profiles are off", "libs/service/server.go",
		[]edit{{"if settings.Pprof {", "if true {"}},
		"tests", "security", "TestListeners/operators'", "/debug/pprof/ on the admin listener: 200, want 404"},

	// Secrets.
	{"a secret is refused as a flag", "libs/config/load.go",
		[]edit{{"if s.secret == \"true\" || s.secret != \"\" && maskURL(text) != text {", "if false {"}},
		"tests", "security", "TestSecretsAreRefusedAsFlags/config_print", "refused false"},
	{"a secret in a URL is masked", "libs/config/print.go",
		[]edit{{"func maskURL(text string) string {\n", "func maskURL(text string) string {\n\tif true {\n\t\treturn text\n\t}\n"}},
		"tests", "security", "TestSecretsInURLsAreMasked", "hunter2"},

	// One address for all clients.
	{"guesses lock out no signer", "services/shortener/visitor.go",
		[]edit{{"\"link/open/\"+code+\"/\"+networkOf", "\"link/guess/\"+networkOf"}},
		"tests", "security", "TestListeners/guessed_links", "a real code beyond the limit of guesses: 429"},
	{"a proxy that is not in the settings is reported", "services/shortener/visitor.go",
		[]edit{{"return (r.Header.Get(\"X-Forwarded-For\")", "return false && (r.Header.Get(\"X-Forwarded-For\")"}},
		"services/shortener", ".", "TestAnUnknownProxyIsReported", "the doctor gets"},
	{"a proxy's address has a port or brackets", "services/shortener/visitor.go",
		[]edit{{"host, _, _ = strings.Cut(text, \":\")", "host = text"}},
		"services/shortener", ".", "TestReadHop", ""},

	// Personal data.
	{"a query is only in the payload", "services/ingest/quarantine.go",
		[]edit{{"msg.Header.Set(HeaderQueryBytes, strconv.Itoa(len(query)))", "msg.Header.Set(HeaderQuery, query)"}},
		"tests", "security", attacks + "a_whole_story", "the headers of QUARANTINE contains"},
	{"a personal id is hashed", "libs/event/personal.go",
		[]edit{{"if personal(id) {", "if false && personal(id) {"}},
		"libs", "event", "TestNoIDOutsideAPayloadIsPersonal", ""},

	// The cost of a request.
	{"unverified requests have a budget of bytes", "libs/service/connections.go",
		[]edit{{"for l.held > l.budget &&", "for l.held < 0 &&"}},
		"tests", "security", attacks + "slow_callers", "the listener was never full"},
	{"the slowest is closed first", "libs/service/connections.go",
		[]edit{{"return h[i].speed() < h[j].speed()", "return h[i].speed() > h[j].speed()"}},
		"libs", "service", "TestNoMixOfSlowConnectionsDropsAWholeRequest", ""},
	{"the local limiter has a maximum of keys", "libs/limit/local.go",
		[]edit{{"case own || len(l.keys) < mostKeys || l.sweep(now):", "case own || true:"}},
		"libs", "limit", "TestUnboundedKeys", ""},
	{"clicks have their own budget", "libs/providers/sources.go",
		[]edit{{"ForClicks = Budget{flow.RateClicks, 25}", "ForClicks = Budget{flow.RateAPI, 25}"}},
		"libs", "providers", "TestClicksAndEventsHaveBudgetsOfTheirOwn", ""},
	{"a trace begins at a verified callback", "services/ingest/handler.go",
		[]edit{{"tracer.Start(req.Context(), ", "tracer.Start(propagation.TraceContext{}.Extract(req.Context(), propagation.HeaderCarrier(req.Header)), "}},
		"tests", "security", attacks + "traces_of_callers", "0af7651916cd43dd8448eb211c80319c"},

	// Paths and settings.
	{"no listener redirects", "libs/service/routes.go",
		[]edit{{"clean(escaped) && (!strings", "(true || clean(escaped)) && (!strings"}},
		"tests", "security", attacks + "confusing_paths", "leads elsewhere"},
	{"an unknown source gets the response of a wrong signature", "services/ingest/route.go",
		[]edit{{"if !h.env.Config.HideSources {", "if true {"}},
		"tests", "security", "TestHiddenSources", "and of an unknown source"},
	{"an alias does not contain itself", "libs/config/yaml.go",
		[]edit{{"if slices.Contains(r.within, target) {", "if false && slices.Contains(r.within, target) {"}},
		"tests", "security", "TestHostileSettings", "goroutine"},
	{"a link from before a correction does not open", "services/shortener/correct.go",
		[]edit{{"case is.ID != \"\" && is.ID != v.entry.Correction:", "case is.ID == \"none\":"}},
		"services/shortener", ".", "TestALinkFromBeforeACorrection", "This link was replaced"},
	{"a message from before a correction does not leave", "libs/optout/correction.go",
		[]edit{{"is.Message != \"\" && is.Message != to.Correction", "false"}},
		"libs", "notification", "TestNoMessageLeavesToAnOldAddress", ""},
	{"a link for corrections works once", "services/shortener/correct.go",
		[]edit{{"if v.entry.Order == \"\" {", "if true {"}},
		"services/shortener", ".", "TestTheSenderCorrectsAPerson", "One moment"},
	{"another site cannot send the form of a correction", "services/shortener/handler.go",
		[]edit{{"case r.Method == http.MethodPost && fromElsewhere(r):", "case false:"}},
		"services/shortener", ".", "TestTheSenderCorrectsAPerson", "A person could not be reached"},
	{"links with https are only opened with https", "services/shortener/handler.go",
		[]edit{{"if d.https {", "if false {"}},
		"services/shortener", ".", "TestAGuessingClientBlocksNoSigner", ""},

	// The supply chain.
	{"no program parses tokens", "services/sms-sender/vonage/vonage.go",
		[]edit{{"\tsdk \"github.com/vonage/vonage-go-sdk\"\n", "\t\"github.com/golang-jwt/jwt\"\n\tsdk \"github.com/vonage/vonage-go-sdk\"\n"}, {"\n// Gateway is the operator's account", "\nvar _, _ = jwt.Parse(\"\", nil)\n\n// Gateway is the operator's account"}},
		"tests", "security", "TestNoProgramParsesTokens/sms-sender", "github.com/golang-jwt/jwt.Parse is in the program"},
}

// TestGuards removes one guard after another, in a copy of its file, and requires that the attack's test fails. The copy replaces the file
// in the test and in the programs that the test builds, which inherit GOFLAGS. It takes a quarter of an hour, so only make guards runs it.
func TestGuards(t *testing.T) {
	t.Parallel()
	if os.Getenv("SIGNRELAY_TEST_GUARDS") != "1" {
		t.Skip("not run: make guards sets SIGNRELAY_TEST_GUARDS")
	}
	for _, g := range guards {
		t.Run(strings.ReplaceAll(g.name, "/", " "), func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-vet=off", "-timeout=5m", "-run", pattern(g.run), "./"+g.pkg)
			cmd.Dir = filepath.Join(testenv.Root(), g.module)
			cmd.Env = append(os.Environ(), "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+g.overlay(t)), "SIGNRELAY_TEST_GUARDS=")
			output, err := cmd.CombinedOutput()
			failed := "--- FAIL: "
			switch { // the other attacks run only if needed
			case strings.HasSuffix(g.run, "/a_whole_story"): // it searches the output of the other attacks
				failed += "TestAttacks "
			case strings.Contains(g.run, "/"):
				failed += g.run
			}
			switch text := string(output); {
			case err == nil:
				t.Errorf("without this guard %s passes", g.run)
			case !strings.Contains(text, failed), !strings.Contains(text, g.message):
				t.Errorf("without this guard, %q with %q is not in the test's output:\n%s", failed, g.message, text[max(0, len(text)-20_000):])
			}
		})
	}
}

// The table quotes the sources and the tests exactly as they are. This test runs without make guards, so a renamed line or test fails at once.
func TestGuardsMatchTheSources(t *testing.T) {
	t.Parallel()
	for _, g := range guards {
		text, err := os.ReadFile(filepath.Join(testenv.Root(), g.file))
		must(t, err)
		for _, e := range g.without {
			if strings.Count(string(text), e.was) != 1 {
				t.Errorf("%s does not have %q exactly once: update the guard %q", g.file, e.was, g.name)
			}
		}
		name, _, _ := strings.Cut(g.run, "/")
		files, err := filepath.Glob(filepath.Join(testenv.Root(), g.module, g.pkg, "*_test.go"))
		must(t, err)
		if !slices.ContainsFunc(files, func(file string) bool {
			text, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(text), "\nfunc "+name)
		}) {
			t.Errorf("%s/%s has no test %s: update the guard %q", g.module, g.pkg, name, g.name)
		}
	}
}

// pattern returns a test's full name for go test -run; it returns a pattern unchanged.
func pattern(run string) string {
	parts := strings.Split(run, "/")
	for i, part := range parts[:len(parts)-1] {
		parts[i] = "^" + part + "$"
	}
	return strings.Join(parts, "/")
}

// overlay returns a file for go build -overlay, with the guard removed from the current file.
func (g guard) overlay(t *testing.T) string {
	t.Helper()
	path := filepath.Join(testenv.Root(), g.file)
	data, err := os.ReadFile(path)
	must(t, err)
	text := string(data)
	for _, e := range g.without {
		if strings.Count(text, e.was) != 1 {
			t.Fatalf("%s does not have %q exactly once: update the guard", g.file, e.was)
		}
		text = strings.Replace(text, e.was, e.is, 1)
	}
	dir := t.TempDir()
	mutated, overlay := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(mutated, []byte(text), 0o600))
	data, err = json.Marshal(map[string]map[string]string{"Replace": {path: mutated}})
	must(t, err)
	must(t, os.WriteFile(overlay, data, 0o600))
	return overlay
}

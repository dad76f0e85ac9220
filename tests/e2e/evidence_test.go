package e2e

import (
	"archive/zip"
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"html"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// The page of an evidence file is read on a phone, too. It loads nothing and runs no script.
func TestTheEvidencePageFitsAPhone(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	h := testenv.Standalone(t)
	folder := t.TempDir()
	key, file := filepath.Join(folder, "evidence.pem"), filepath.Join(folder, "evidence.zip")
	document := h.Play(t, "clickwrap", "declined")[0]
	h.WaitIdle(t)
	if out, err := h.Command(t, "evidence", "key", key); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := h.CommandWith(t, []string{"SIGNRELAY_EVIDENCE_KEY_FILE=" + key}, "evidence", document, "--out", file); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	page := filepath.Join(folder, "evidence.html")
	if err := os.WriteFile(page, extract(t, file)["evidence.html"], 0o600); err != nil {
		t.Fatal(err)
	}
	b.Do(emulation.SetDeviceMetricsOverride(360, 800, 1, true), chromedp.Navigate("file://"+page))
	if heading := b.Text("h1"); !strings.Contains(heading, "Evidence file of Signrelay") {
		t.Errorf("the page begins with %q", heading)
	}
	if state := b.Text("dl"); !strings.Contains(state, "declined") {
		t.Errorf("the summary: %s", state)
	}
	var width int
	b.Do(chromedp.Evaluate(`document.documentElement.scrollWidth`, &width))
	if width > 360 {
		t.Errorf("the page is %d pixels wide on a phone of 360", width)
	}
	b.requireFits()
}

// A story is played, its people get messages and open links, and an operator makes an evidence file of it. Somebody else verifies the file, with
// Signrelay and without.
func TestAStoryBecomesAnEvidenceFile(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	folder := t.TempDir()
	key := filepath.Join(folder, "evidence.pem")
	out, err := h.Command(t, "evidence", "key", key)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	fingerprint := out[strings.LastIndex(out, "sha256:") : strings.LastIndex(out, "sha256:")+71]

	for _, s := range []struct {
		provider, story, title, person, verified string
		path                                     string // of a callback
		opened                                   string
	}{
		{"clickwrap", "two-signers", "E-Waiver Form", "Eric Smith", "shared token", "POST /webhooks/clickwrap/", "unknown: a program that says it is a browser"},
		{"pleasesign", "two-signers", "Contract of Sale", "Olivia Nguyen", "HMAC signature", "POST /webhooks/pleasesign/", "a person: the button of the page was pressed"},
		{"esign-v1", "two-signers", "Shareholder Agreement", "signed, 20", "RSA signature", "POST /webhooks/esign-v1/", "a person: the button of the page was pressed"},
	} {
		h.ClearMessages(t)
		document := h.Play(t, s.provider, s.story)[0]
		i := 0
		for ; stories[i].provider != s.provider || stories[i].name != s.story; i++ {
		}
		stories[i].check(t, h) // opens the links
		h.WaitIdle(t)
		h.Until(t, "the log has a click", func() bool { // it follows the response to the person
			return h.Count(t, flow.Signing, "signing.v1.*.*.link.opened."+event.DocumentToken(document)) > 0
		})

		h.Until(t, "the archive has the signed document", func() bool {
			return h.Count(t, flow.Signing, "signing.v1.*.*.document.archived."+event.DocumentToken(document)) > 0
		})
		h.WaitIdle(t)

		file := filepath.Join(folder, s.provider+".zip")
		if out, err := h.CommandWith(t, []string{"SIGNRELAY_EVIDENCE_KEY_FILE=" + key}, "evidence", document, "--files", "--out", file); err != nil {
			t.Fatalf("%s: %v: %s", s.provider, err, out)
		}
		out, err := h.Command(t, "evidence", "verify", file, "--key", fingerprint)
		if err != nil || !strings.Contains(out, "is valid") || !strings.Contains(out, document) {
			t.Errorf("%s: %v: %s", s.provider, err, out)
		}
		content := extract(t, file)
		page := html.UnescapeString(string(content["evidence.html"]))
		for _, want := range []string{
			s.title, s.person, s.verified, "Everybody has signed. Time: ", "signed, 20", s.path, "invitation by text message", "invitation by e-mail",
			`You've been sent "` + s.title + `" by`, `"` + s.title + `" has been accepted by all parties. Download your document here: http`, "/l/…", "invitation.sms@", "webhook.",
			"A delivery receipt reports that the message has arrived", s.opened,
		} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page has no %q", s.provider, want)
			}
		}
		if n := strings.Count(page, "files/0"); n == 0 || !archived(content) {
			t.Errorf("%s: the page names %d archived files, or they are not in the file", s.provider, n)
		}
		if strings.Contains(page, "only its hash") {
			t.Errorf("%s: an archived file is missing", s.provider)
		}
		requireOpenSSL(t, content, fingerprint)
	}
}

// archived reports whether the folder of archived files has a PDF.
func archived(content map[string][]byte) bool {
	for name, data := range content {
		if strings.HasPrefix(name, "files/") && bytes.HasPrefix(data, []byte("%PDF-")) {
			return true
		}
	}
	return false
}

// extract returns the members of a ZIP file.
func extract(t *testing.T, path string) map[string][]byte {
	t.Helper()
	r, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	content := map[string][]byte{}
	for _, f := range r.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if content[f.Name], err = io.ReadAll(in); err != nil {
			t.Fatal(err)
		}
	}
	return content
}

// requireOpenSSL verifies the signature of the manifest with another program, as docs/evidence.md says. Without it, this part is skipped.
func requireOpenSSL(t *testing.T, content map[string][]byte, fingerprint string) {
	t.Helper()
	block, _ := pem.Decode(content["public-key.pem"])
	if block == nil {
		t.Fatal("no public key")
	}
	if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		t.Error(err)
	}
	if !bytes.Contains(content["manifest.json"], []byte(fingerprint)) {
		t.Error("the manifest has another key")
	}
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		return
	}
	folder := t.TempDir()
	for _, name := range []string{"public-key.pem", "manifest.json", "manifest.sig"} {
		if err := os.WriteFile(filepath.Join(folder, name), content[name], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := exec.CommandContext(t.Context(), openssl, "pkeyutl", "-verify", "-pubin", "-inkey", "public-key.pem", "-rawin", "-in", "manifest.json", "-sigfile", "manifest.sig")
	verify.Dir = folder
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("openssl: %v: %s", err, out)
	}
}

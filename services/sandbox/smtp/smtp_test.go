package smtp_test

import (
	"io"
	"net"
	"net/smtp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

func TestAnEmailArrivesAsTextAndHTML(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	sandboxtest.Mail(t, w, sandboxtest.Alternative, "jane.roe@example.com", "eric.smith@example.com")

	emails := w.Received("?channel=email")
	if len(emails) != 2 {
		t.Fatalf("%d e-mails arrived, want one for each recipient", len(emails))
	}
	for i, to := range []string{"jane.roe@example.com", "eric.smith@example.com"} {
		got := emails[i]
		if got.ReceivedAt.IsZero() {
			t.Error("received_at is missing")
		}
		got.ReceivedAt = time.Time{}
		want := sandboxtest.Message{
			Channel: "email", To: to, From: "PactSafe für Sie <no-reply@acme.example>",
			Subject: `"PS Employment Agreement" wartet über`, Reference: "abc123@acme.example",
			Text: "Please review & sign : https://s.example/x?a=1\n.a dot first, and für",
			HTML: "<p>fȩür</p>",
		}
		if got != want {
			t.Errorf("e-mail %d is\n%+v, want\n%+v", i, got, want)
		}
	}
	if got := w.Received("?to=JANE.ROE@example.com"); len(got) != 1 {
		t.Errorf("%d e-mails to one address", len(got))
	}
}

func TestPlainEmailAndAttachment(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	sandboxtest.Mail(t, w, "From: a@acme.example\r\nSubject: plain\r\n\r\nJust text.\r\n", "j@example.com")
	sandboxtest.Mail(t, w, "From: a@acme.example\r\nSubject: mixed\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"+
		"--x\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nattached\r\n"+
		"--x\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n"+
		"--y\r\nContent-Type: text/plain\r\n\r\nthe text\r\n--y\r\nContent-Type: text/html\r\n\r\n<b>the html</b>\r\n--y--\r\n"+
		"--x--\r\n", "j@example.com")

	emails := w.Received("")
	if len(emails) != 2 {
		t.Fatalf("%d e-mails arrived", len(emails))
	}
	if got := emails[0]; got.Text != "Just text." || got.HTML != "" || got.From != "a@acme.example" {
		t.Errorf("plain: %+v", got)
	}
	if got := emails[1]; got.Text != "the text" || got.HTML != "<b>the html</b>" {
		t.Errorf("mixed: %+v", got)
	}
}

func TestTheMailServersExtensions(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	client := sandboxtest.DialSMTP(t, w)
	for _, extension := range []string{"SMTPUTF8", "8BITMIME"} {
		if ok, _ := client.Extension(extension); !ok {
			t.Errorf("EHLO does not offer %s", extension)
		}
	}
	if _, size := client.Extension("SIZE"); size != "10485760" {
		t.Errorf("SIZE is %q, want 10 MiB", size)
	}
	if err := client.Auth(smtp.PlainAuth("", "user", "anything", "127.0.0.1")); err != nil {
		t.Errorf("log in: %v", err)
	}
	if err := sandboxtest.SendMail(client, "From: a@acme.example\r\n\r\nafter the log-in\r\n", "jané@exämple.com"); err != nil {
		t.Fatal(err)
	}
	if got := w.Received(""); len(got) != 1 || got[0].To != "jané@exämple.com" {
		t.Errorf("received %+v", got)
	}
}

func TestALargeOrInvalidEmailIsRefused(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	client := sandboxtest.DialSMTP(t, w)
	large := "From: a@acme.example\r\n\r\n" + strings.Repeat(strings.Repeat("x", 998)+"\r\n", 10<<20/1000+1)
	sandboxtest.WantReply(t, sandboxtest.SendMail(client, large, "j@example.com"), 552)
	sandboxtest.WantReply(t, sandboxtest.SendMail(client, "no header at all\r\n", "j@example.com"), 554)
	sandboxtest.WantReply(t, sandboxtest.SendMail(client, "From: a@acme.example\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\ncut", "j@example.com"), 554)
	if got := w.Received(""); len(got) != 0 {
		t.Errorf("%d e-mails were accepted", len(got))
	}
	if err := sandboxtest.SendMail(client, sandboxtest.Alternative, "j@example.com"); err != nil {
		t.Errorf("a good e-mail on the same connection: %v", err)
	}
}

// A web page can use a browser to send chosen lines to the mail server, as the body of a form.
func TestTheMailServerClosesHTTPConnections(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	email := "MAIL FROM:<a@acme.example>\r\nRCPT TO:<b@acme.example>\r\nDATA\r\n" + sandboxtest.Alternative + ".\r\nQUIT\r\n"
	for _, first := range []string{"GET / HTTP/1.1", "POST / HTTP/1.1", "post / http/1.1", "PUT /x HTTP/1.0", "OPTIONS * HTTP/1.1", "CONNECT x:25 HTTP/1.1", "PRI * HTTP/2.0"} {
		for _, cut := range []int{len(first), 1, 3} { // a browser sends it at once, but a proxy may not
			reply := talk(t, w, first[:cut], first[cut:]+"\r\nEHLO x\r\n"+email)
			if strings.Contains(reply, "\n250") {
				t.Errorf("%s, in two pieces of %d: %q", first, cut, reply)
			}
		}
	}
	if got := w.Received("?channel=email"); len(got) != 0 {
		t.Errorf("%d e-mails were received over HTTP", len(got))
	}
	for _, cut := range []int{4, 1, 9} {
		t.Log(talk(t, w, ("EHLO x\r\n" + email)[:cut], ("EHLO x\r\n" + email)[cut:]))
	}
	if got := w.Received("?channel=email"); len(got) != 3 {
		t.Errorf("%d e-mails of three were received over SMTP", len(got))
	}
}

// talk sends all pieces on one connection to the mail server, and returns all replies.
func talk(t *testing.T, w sandboxtest.World, pieces ...string) string {
	t.Helper()
	conn, err := net.Dial("tcp", w.Addr("smtp"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, piece := range pieces {
		_, _ = io.WriteString(conn, piece) // the server may have closed it
	}
	reply, _ := io.ReadAll(conn)
	return string(reply)
}

func TestAReplyCodeIsReturnedForTheRecipient(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	for _, code := range []int{450, 550, 552} {
		w.Fault(`{"target":"smtp","mode":"` + strconv.Itoa(code) + `"}`)
		sandboxtest.WantReply(t, sandboxtest.SendMail(sandboxtest.DialSMTP(t, w), sandboxtest.Alternative, "j@example.com"), code)
	}
	w.Fault(`{"target":"smtp","mode":"cut"}`)
	if err := sandboxtest.SendMail(sandboxtest.DialSMTP(t, w), sandboxtest.Alternative, "j@example.com"); err == nil {
		t.Error("an invalid e-mail was accepted")
	}
	if got := w.Received(""); len(got) != 0 {
		t.Errorf("%d e-mails arrived", len(got))
	}
	sandboxtest.WantGoodAgain(t, w)
}

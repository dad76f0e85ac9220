package sandbox_test

import (
	"errors"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// alternative is a letter as mail programs write it: an encoded subject and name, and the same text twice, once in
// quoted-printable and once in base64.
const alternative = "From: =?utf-8?q?PactSafe_f=C3=BCr_Sie?= <no-reply@acme.example>\r\n" +
	"To: jane.roe@example.com\r\n" +
	"Subject: =?utf-8?q?=22PS_Employment_Agreement=22_wartet?= =?utf-8?b?IMO8YmVy?=\r\n" +
	"Message-ID: <abc123@acme.example>\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: multipart/alternative; boundary=\"b1\"\r\n" +
	"\r\n" +
	"--b1\r\n" +
	"Content-Type: text/plain; charset=UTF-8\r\n" +
	"Content-Transfer-Encoding: quoted-printable\r\n" +
	"\r\n" +
	"Please review & sign=\r\n : https://s.example/x?a=3D1\r\n" +
	".a dot first, and f=C3=BCr\r\n" +
	"--b1\r\n" +
	"Content-Type: text/html; charset=UTF-8\r\n" +
	"Content-Transfer-Encoding: base64\r\n" +
	"\r\n" +
	"PHA+Zsipw7xyPC9w\r\nPg==\r\n" +
	"--b1--\r\n"

func TestALetterArrivesInBothItsForms(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	post(t, w, alternative, "jane.roe@example.com", "eric.smith@example.com")

	letters := w.received("?channel=email")
	if len(letters) != 2 {
		t.Fatalf("%d letters arrived, want one for each recipient", len(letters))
	}
	for i, to := range []string{"jane.roe@example.com", "eric.smith@example.com"} {
		got := letters[i]
		if got.ReceivedAt.IsZero() {
			t.Error("received_at is missing")
		}
		got.ReceivedAt = time.Time{}
		want := message{
			Channel: "email", To: to, From: "PactSafe für Sie <no-reply@acme.example>",
			Subject: `"PS Employment Agreement" wartet über`, Reference: "abc123@acme.example",
			Text: "Please review & sign : https://s.example/x?a=1\n.a dot first, and für",
			HTML: "<p>fȩür</p>",
		}
		if got != want {
			t.Errorf("letter %d is\n%+v, want\n%+v", i, got, want)
		}
	}
	if got := w.received("?to=JANE.ROE@example.com"); len(got) != 1 {
		t.Errorf("%d letters to one address", len(got))
	}
}

func TestAPlainLetterAndOneWithAnAttachment(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	post(t, w, "From: a@acme.example\r\nSubject: plain\r\n\r\nJust text.\r\n", "j@example.com")
	post(t, w, "From: a@acme.example\r\nSubject: mixed\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"+
		"--x\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nattached\r\n"+
		"--x\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n"+
		"--y\r\nContent-Type: text/plain\r\n\r\nthe text\r\n--y\r\nContent-Type: text/html\r\n\r\n<b>the html</b>\r\n--y--\r\n"+
		"--x--\r\n", "j@example.com")

	letters := w.received("")
	if len(letters) != 2 {
		t.Fatalf("%d letters arrived", len(letters))
	}
	if got := letters[0]; got.Text != "Just text." || got.HTML != "" || got.From != "a@acme.example" {
		t.Errorf("plain: %+v", got)
	}
	if got := letters[1]; got.Text != "the text" || got.HTML != "<b>the html</b>" {
		t.Errorf("mixed: %+v", got)
	}
}

func TestTheMailServerTellsWhatItCanDo(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	client := dial(t, w)
	for _, extension := range []string{"SMTPUTF8", "8BITMIME"} {
		if ok, _ := client.Extension(extension); !ok {
			t.Errorf("EHLO does not offer %s", extension)
		}
	}
	if _, size := client.Extension("SIZE"); size != "10485760" {
		t.Errorf("SIZE is %q, want 10 MiB", size)
	}
	if err := client.Auth(smtp.PlainAuth("", "anybody", "anything", "127.0.0.1")); err != nil {
		t.Errorf("log in: %v", err)
	}
	if err := send(client, "From: a@acme.example\r\n\r\nafter the log-in\r\n", "jané@exämple.com"); err != nil {
		t.Fatal(err)
	}
	if got := w.received(""); len(got) != 1 || got[0].To != "jané@exämple.com" {
		t.Errorf("received %+v", got)
	}
}

func TestALetterThatIsTooLargeOrNoLetterIsRefused(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	client := dial(t, w)
	large := "From: a@acme.example\r\n\r\n" + strings.Repeat(strings.Repeat("x", 998)+"\r\n", 10<<20/1000+1)
	wantReply(t, send(client, large, "j@example.com"), 552)
	wantReply(t, send(client, "no header at all\r\n", "j@example.com"), 554)
	wantReply(t, send(client, "From: a@acme.example\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\ncut", "j@example.com"), 554)
	if got := w.received(""); len(got) != 0 {
		t.Errorf("%d letters were taken nevertheless", len(got))
	}
	if err := send(client, alternative, "j@example.com"); err != nil {
		t.Errorf("a good letter on the same connection: %v", err)
	}
}

func dial(t *testing.T, w world) *smtp.Client {
	t.Helper()
	client, err := smtp.Dial(w.SMTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// send is one transaction.
func send(client *smtp.Client, letter string, to ...string) error {
	if err := client.Mail("no-reply@acme.example"); err != nil {
		return err
	}
	for _, address := range to {
		if err := client.Rcpt(address); err != nil {
			return err
		}
	}
	body, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := body.Write([]byte(letter)); err != nil {
		return err
	}
	return body.Close()
}

// post is a whole dialogue.
func post(t *testing.T, w world, letter string, to ...string) {
	t.Helper()
	client := dial(t, w)
	if err := send(client, letter, to...); err != nil {
		t.Fatal(err)
	}
	if err := client.Quit(); err != nil {
		t.Fatal(err)
	}
}

func wantReply(t *testing.T, err error, code int) {
	t.Helper()
	if reply := new(textproto.Error); !errors.As(err, &reply) || reply.Code != code {
		t.Errorf("the mail server said %v, want %d", err, code)
	}
}

// A page can have a browser send lines of its choice to the mail server, as the body of a form.
func TestTheMailServerHangsUpOnHTTP(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	letter := "MAIL FROM:<a@acme.example>\r\nRCPT TO:<b@acme.example>\r\nDATA\r\n" + alternative + ".\r\nQUIT\r\n"
	for _, first := range []string{"GET / HTTP/1.1", "POST / HTTP/1.1", "post / http/1.1", "PUT /x HTTP/1.0", "OPTIONS * HTTP/1.1", "CONNECT x:25 HTTP/1.1", "PRI * HTTP/2.0"} {
		for _, cut := range []int{len(first), 1, 3} { // a browser sends it at once, a proxy perhaps not
			said := talk(t, w, first[:cut], first[cut:]+"\r\nEHLO x\r\n"+letter)
			if strings.Contains(said, "\n250") {
				t.Errorf("%s, in two pieces of %d: %q", first, cut, said)
			}
		}
	}
	if got := w.received("?channel=email"); len(got) != 0 {
		t.Errorf("%d letters came over HTTP", len(got))
	}
	for _, cut := range []int{4, 1, 9} {
		t.Log(talk(t, w, ("EHLO x\r\n" + letter)[:cut], ("EHLO x\r\n" + letter)[cut:]))
	}
	if got := w.received("?channel=email"); len(got) != 3 {
		t.Errorf("%d letters of three came over SMTP", len(got))
	}
}

// talk says both pieces on one connection to the mail server, and returns all that it answers.
func talk(t *testing.T, w world, pieces ...string) string {
	t.Helper()
	conn, err := net.Dial("tcp", w.SMTPAddr())
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
	said, _ := io.ReadAll(conn)
	return string(said)
}

package standalone

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	consolesettings "github.com/signrelay/signrelay/services/console/settings"
	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

// DemoSource is the name of the demo sources, one for each provider, which exist if the settings have no sources.
const DemoSource = "demo"

// WithDemo adds a source for each provider to settings without sources, and puts the sandbox in place of all outside parties. It returns
// settings with a source unchanged.
//
// The secrets are intentionally public. PleaseSign's secret is "test", because it signs the example in PleaseSign's documentation.
func WithDemo(cfg config.Config) (config.Config, error) {
	if len(cfg.Sources) > 0 {
		return cfg, nil
	}
	sandbox := sandboxsettings.Section.In(&cfg)
	smtpHost, smtpPort, err := splitPort(sandbox.SMTPAddr)
	if err != nil {
		return cfg, fmt.Errorf("sandbox.smtp_addr: %w", err)
	}
	key, certificate, err := demoKey(cfg.DataDir)
	if err != nil {
		return cfg, err
	}
	sandboxURL := "http://" + sandbox.Addr
	source := func(provider, sender, region string, settings ...string) config.Source {
		s := providers.NewSource(provider, DemoSource, settings...)
		s.SenderName, s.Locale, s.Region = sender, "en", region
		s.Reminders, s.Fallback = config.DefaultReminders(), config.DefaultFallback()
		s.QuietHours = config.NoQuietHours()               // messages appear at any time of day
		s.Notify.Sender.Email = "sender@signrelay.example" // the address at which the documents' sender gets news, such as a decline
		return s
	}
	cfg.Sources = []config.Source{
		source("clickwrap", "PactSafe", "US", "webhook.secrets=12345", "api.base_url="+sandboxURL, "api.token=demo-token"),
		source("esign-v1", "Legalesign", "GB", "webhook.token=demo", "webhook.certificate="+certificate,
			"api.base_url="+sandboxURL+"/api/v1", "api.user=demo", "api.secret=demo-secret", demoPerMinute),
		source("pleasesign", "PleaseSign", "AU", "webhook.secrets=test",
			"api.base_url="+sandboxURL, "api.key=demo-key", "api.secret=demo-secret", demoPerMinute),
	}
	sandbox.Key = keyPEM(key)
	consolesettings.Section.In(&cfg).LocalRoles = consolesettings.Roles // all people and documents are invented
	vonage := smssettings.VonageSection.In(&cfg)
	vonage.APIKey, vonage.APISecret = "sandbox0", "sandbox-secret"
	vonage.BaseURL, vonage.From = sandboxURL, "13175550100" // a number, so that people can reply
	// There are no limits, because all messages stay on this machine, stories may be played any number of times, and the reserved example
	// numbers have no type.
	cfg.Limits = config.Limits{NumberTypes: config.NumberTypes}
	email := emailsettings.Section.In(&cfg)
	email.From = "Signrelay <no-reply@signrelay.example>"
	email.SMTP.Host, email.SMTP.Port, email.SMTP.TLS = smtpHost, smtpPort, "none"
	_, port, err := splitPort(ingestsettings.Section.Of(cfg).Addr)
	if err != nil {
		return cfg, fmt.Errorf("ingest.addr: %w", err)
	}
	sandbox.IngestURL = "http://127.0.0.1:" + strconv.Itoa(port)
	vonage.ReceiptsURL = sandbox.IngestURL
	vonage.SignatureSecret, vonage.SignatureMethod = "demo-signature", "sha256"
	if shortener := shortenersettings.Section.In(&cfg); shortener.PublicURL == "" {
		shortener.PublicURL = "http://localhost:" + strconv.Itoa(port)
	}
	return cfg, nil
}

// demoPerMinute is high because the sandbox has no rate limits.
const demoPerMinute = "api.per_minute=6000"

func splitPort(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	return host, port, err
}

// DemoKey returns the private key of the demo's esign-v1 certificate, with which the sandbox and `signrelay send` sign. It is the key that
// `signrelay run` wrote to the data directory. If there is none, it is a new random key.
func DemoKey(dataDir string) (*rsa.PrivateKey, error) {
	key, _, err := demoKey(dataDir)
	return key, err
}

// demoKey reads the demo's esign-v1 key and certificate from the data directory, or creates new ones in memory.
func demoKey(dataDir string) (key *rsa.PrivateKey, certificate string, err error) {
	var data []byte
	f, err := readDataDir(dataDir)
	if err == nil {
		data, err = f.read(demoKeyFile)
		err = errors.Join(err, f.close())
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		data, err = newDemoKey()
	}
	if err != nil {
		return nil, "", dataDirError(err)
	}
	keyBlock, rest := pem.Decode(data)
	certificateBlock, _ := pem.Decode(rest)
	if keyBlock == nil || certificateBlock == nil {
		return nil, "", fmt.Errorf("demo certificate: %s is damaged: remove it", filepath.Join(dataDir, demoKeyFile))
	}
	key, err = x509.ParsePKCS1PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, "", fmt.Errorf("demo certificate: %w", err)
	}
	return key, string(pem.EncodeToMemory(certificateBlock)), nil
}

// makeDemoKey creates the key and the certificate in the data directory, unless they exist.
func (f *folder) makeDemoKey() error {
	if f.has(demoKeyFile) {
		return nil
	}
	data, err := newDemoKey()
	if err == nil {
		err = f.write(demoKeyFile, data)
	}
	if err != nil {
		return fmt.Errorf("demo certificate: %w", err)
	}
	return nil
}

func newDemoKey() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "signrelay demo"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return append([]byte(keyPEM(key)), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...), nil
}

func keyPEM(key *rsa.PrivateKey) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

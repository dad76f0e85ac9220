package standalone

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// The files of a sandbox that runs as a separate program.
const (
	// SandboxKey contains the value of sandbox.key, as PEM.
	SandboxKey = "esign-v1.key"
	// SandboxCertificate contains the value of webhook.certificate of an esign-v1 source, as PEM.
	SandboxCertificate = "esign-v1.crt"
)

// MakeSandboxCertificate creates the key with which a sandbox signs esign-v1 callbacks, and its certificate, in the folder. If they exist
// already, it changes nothing and returns false.
func MakeSandboxCertificate(folder string) (made bool, err error) {
	f, err := openFolder(folder, os.Geteuid())
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if f.has(SandboxCertificate) {
		return false, nil
	}
	data, err := newDemoKey()
	if err != nil {
		return false, fmt.Errorf("create the sandbox's certificate: %w", err)
	}
	keyBlock, rest := pem.Decode(data)
	if err := f.write(SandboxKey, pem.EncodeToMemory(keyBlock)); err != nil {
		return false, fmt.Errorf("write the sandbox's key: %w", err)
	}
	// The certificate is written last, so if it exists, the key exists too.
	if err := f.write(SandboxCertificate, rest); err != nil {
		return false, fmt.Errorf("write the sandbox's certificate: %w", err)
	}
	return true, nil
}

package standalone

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// The files of a sandbox that runs beside the services, rather than in one process with them.
const (
	// SandboxKey is what sandbox.key wants, as PEM.
	SandboxKey = "esign-v1.key"
	// SandboxCertificate is what webhook.certificate of an esign-v1 source wants, as PEM.
	SandboxCertificate = "esign-v1.crt"
)

// MakeSandboxCertificate makes up the key with which a sandbox signs esign-v1 callbacks, and its certificate, in the folder.
// What is there is left alone; then it returns false.
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
		return false, fmt.Errorf("make the sandbox's certificate: %w", err)
	}
	keyBlock, rest := pem.Decode(data)
	if err := f.write(SandboxKey, pem.EncodeToMemory(keyBlock)); err != nil {
		return false, fmt.Errorf("write the sandbox's key: %w", err)
	}
	// Last, because its presence says that both are there.
	if err := f.write(SandboxCertificate, rest); err != nil {
		return false, fmt.Errorf("write the sandbox's certificate: %w", err)
	}
	return true, nil
}

package servicetest

import (
	"bytes"
	"sync"
)

// Logged collects the log output.
type Logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *Logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *Logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

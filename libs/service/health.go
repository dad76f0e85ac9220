package service

// Health collects a program's checks; see the admin listener.
type Health struct{}

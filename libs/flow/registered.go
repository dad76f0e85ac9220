package flow

// Registered is the entry in STATE with what Signrelay registered last at a source's provider.
func Registered(provider, source string) string { return "registered." + provider + "." + source }

package flow

// Registered is the entry in STATE with what Signrelay registered last at a source's provider.
func Registered(provider, source string) string { return "registered." + provider + "." + source }

// oauth is the beginning of the keys in STATE of the tokens of sources.
const oauth = "oauth."

// OAuth is the entry in STATE with the encrypted OAuth tokens of a source.
func OAuth(provider, source string) string { return oauth + provider + "." + source }

package config

// Warning is a valid setting that deserves attention.
type Warning struct {
	Key   string // of the setting
	Found string
	Fix   string // the remedy
}

// Warnings returns the warnings for settings that Check accepts.
func Warnings(cfg Config) []Warning {
	all := masterKeyWarnings(cfg)
	for _, e := range cfg.list() {
		all = append(all, e.of.warn(cfg)...)
	}
	return append(all, tlsWarnings(cfg)...) // they look up other settings, so the list of settings cannot refer to them
}

func masterKeyWarnings(cfg Config) []Warning {
	if len(cfg.MasterKeys()) > 0 {
		return nil
	}
	return []Warning{{
		"master_key", "it is not set: anyone who can read Redis or the bucket LINKS sees which documents and links exist",
		"set SIGNRELAY_MASTER_KEY, the same for all services: openssl rand -base64 32 makes one",
	}}
}

package config

import "time"

// Default returns the default settings, with those of the sections in the list.
func Default(list ...Declared) Config {
	return Config{
		entries: entries(list),

		Limits: Limits{ // docs/adr/0022 gives the reasons
			PersonPerDay:  60,
			NumberPerHour: 30,
			TextsPerDay:   10,
			Document:      1000,
			SourcePerDay:  10_000,
			NumberTypes:   []string{"mobile"},
		},
		NATS: NATS{Addr: "127.0.0.1:4222", Replicas: 1},

		TLS: ServerTLS{ACME: ACME{DirectoryURL: defaultDirectory}},

		Admin: Admin{Addr: "127.0.0.1:9090"},

		DrainDelay: 5 * time.Second, // balancers check every few seconds

		DataDir: "./data",
		Log:     Log{Level: "info"},
	}
}

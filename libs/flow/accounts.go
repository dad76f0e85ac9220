package flow

import (
	"fmt"
	"strings"
)

// account is the NATS account with the streams. The services and the subscribers have their own accounts, because clients of one account are
// not isolated: the server sends a response to any subject that the requester names, and checks no permission for it.
const account = "SIGNRELAY"

// Operator is the user of the command line (provision, doctor, dlq, tail). It may do everything in the account.
const Operator = "operator"

// The subjects with which an account of subscribers copies the log.
const (
	copyAPI = "signrelay.api" // the prefix of its requests
	// CopyDelivery is the prefix of the subjects on which it gets the log.
	CopyDelivery = "signrelay.copy"
)

// AccountFiles returns the files of deployments/nats that come from the map, by name.
func AccountFiles() map[string]string {
	return map[string]string{"accounts.conf": accounts(), "reader.conf": reader(), "eraser.conf": eraser()}
}

// accounts returns the file with the accounts, their users and their permissions.
func accounts() string {
	var b strings.Builder
	b.WriteString(`# Made by "make generate" from libs/flow: change it there.
#
# The permissions on the NATS server. Each password comes from a variable of the server's environment; begin it with a
# letter and use letters and digits, or put "" around it, because the server reads it as a value of this file.

accounts {
  $SYS {
    users: [{user: sys, password: $NATS_SYS_PASSWORD}]
  }

`)
	fmt.Fprintf(&b, "  # The streams. The exports below are the permissions of the other accounts.\n  %s {\n    jetstream: enabled\n", account)
	fmt.Fprintf(&b, "    # The command line: signrelay provision, doctor, dlq, tail. It may do everything here.\n")
	fmt.Fprintf(&b, "    users: [{user: %s, password: $%s}]\n    exports: [\n", Operator, Password(Operator))
	exported := map[string]bool{}
	for _, u := range Users() {
		for _, subject := range u.Publish {
			if !exported[subject] {
				exported[subject] = true
				fmt.Fprintf(&b, "      {service: %s%s}\n", quote(subject), responseType(subject))
			}
		}
	}
	b.WriteString("\n      # The subjects that subscribers need to copy the log.\n")
	for _, e := range []string{
		"service: " + quote("$JS.API.CONSUMER.CREATE."+Signing),
		"service: " + quote("$JS.FC."+Signing+".>"),
		"stream: " + quote(CopyDelivery+".>"),
	} {
		fmt.Fprintf(&b, "      {%s}\n", e)
	}
	b.WriteString("    ]\n  }\n")
	for _, u := range Users() {
		fmt.Fprintf(&b, "\n  %s {\n    users: [{user: %s, password: $%s, permissions: {\n", capitals(u.Name), u.Name, Password(u.Name))
		b.WriteString("      subscribe: \"_INBOX.>\"\n      publish: [\n")
		for _, subject := range u.Publish {
			fmt.Fprintf(&b, "        %s\n", quote(subject))
		}
		b.WriteString("      ]\n    }}]\n    imports: [\n")
		for _, subject := range u.Publish {
			fmt.Fprintf(&b, "      {service: {account: %s, subject: %s}}\n", account, quote(subject))
		}
		b.WriteString("    ]\n  }\n")
	}
	b.WriteString("\n  include subscribers.conf\n}\n")
	return b.String()
}

// responseType returns the option for an exported request that gets more than one message as its response.
func responseType(subject string) string {
	if strings.HasPrefix(subject, direct) || strings.HasPrefix(subject, pull) {
		return ", response_type: stream"
	}
	return ""
}

func quote(subject string) string { return `"` + subject + `"` }

// reader returns the common part of all subscriber accounts: the imports with which it copies the log, and the permissions of its users.
func reader() string {
	var b strings.Builder
	b.WriteString("# Made by \"make generate\" from libs/flow: change it there. The parts of an account in subscribers.conf.\n\n")
	b.WriteString("# The subjects that it needs to copy the log.\nTHE_LOG: [\n")
	for _, i := range []string{
		"service: {account: " + account + ", subject: " + quote("$JS.API.CONSUMER.CREATE."+Signing) + "}, to: " + quote(copyAPI+".CONSUMER.CREATE."+Signing),
		"service: {account: " + account + ", subject: " + quote("$JS.FC."+Signing+".>") + "}",
		"stream: {account: " + account + ", subject: " + quote(CopyDelivery+".>") + "}",
	} {
		fmt.Fprintf(&b, "  {%s}\n", i)
	}
	b.WriteString("]\n\n# It has space for the copy only.\nONE_COPY: {max_streams: 1}\n\n# Its users read the copy with their own consumers, and can neither change nor remove it.\nREADS: {\n  publish: [\n")
	for _, subject := range reads() {
		fmt.Fprintf(&b, "    %s\n", quote(subject))
	}
	b.WriteString("  ]\n  subscribe: {deny: " + quote(CopyDelivery+".>") + "}\n}\n")
	return b.String()
}

// eraser returns the permissions of a team's user that removes from the copy what was erased from the log. Its file is separate, because the server
// refuses a variable that no user has.
func eraser() string {
	var b strings.Builder
	b.WriteString("# Made by \"make generate\" from libs/flow: change it there. The permissions of a second user of an account in subscribers.conf,\n" +
		"# which removes from the team's copy what was erased from the log (signrelay erase --copy). The account's other users may not.\n\nERASES: {\n  publish: [\n")
	for _, subject := range erases() {
		fmt.Fprintf(&b, "    %s\n", quote(subject))
	}
	b.WriteString("  ]\n  subscribe: \"_INBOX.>\"\n}\n")
	return b.String()
}

// erases returns the subjects on which a team's user publishes that removes events from the copy.
func erases() []string {
	return []string{"$JS.API.INFO", streamInfo + Signing, direct + Signing, "$JS.API.STREAM.MSG.DELETE." + Signing}
}

// reads returns the subjects on which a subscriber may publish in its own account. No other party has consumers there.
func reads() []string {
	api := "$JS.API."
	return append([]string{
		api + "INFO",
		api + "STREAM.NAMES",
		api + "STREAM.LIST",
		api + "STREAM.INFO." + Signing,
		api + "STREAM.CREATE." + Signing, // once: an existing copy can be neither recreated nor changed
		api + "STREAM.MSG.GET." + Signing,
		api + "DIRECT.GET." + Signing,
		api + "DIRECT.GET." + Signing + ".>",
		api + "CONSUMER.*." + Signing,
		api + "CONSUMER.*." + Signing + ".>",
		api + "CONSUMER.DURABLE.CREATE." + Signing + ".*",
		api + "CONSUMER.MSG.NEXT." + Signing + ".*",
		"$JS.FC." + Signing + ".>",
		"$JS.FC.*.*." + Signing + ".>",
	}, acks(Signing, "*")...)
}

package flow

import (
	"fmt"
	"strings"
)

// account is the NATS account with the streams. The services and the subscribers have accounts of their own, because within one
// there is no wall: the server sends its answers wherever the asker says, and asks nobody whether he may.
const account = "SIGNRELAY"

// Operator is the user of the command line: provision, doctor, dlq, tail. It may do everything in the account.
const Operator = "operator"

// How an account of subscribers reaches the log, to copy it.
const (
	copyAPI      = "signrelay.api"  // before what it asks
	copyDelivery = "signrelay.copy" // before where it gets what it asked for
)

// AccountFiles are the files of deployments/nats that come from the map, by name.
func AccountFiles() map[string]string {
	return map[string]string{"accounts.conf": accounts(), "reader.conf": reader()}
}

// accounts says who there is and what each may do.
func accounts() string {
	var b strings.Builder
	b.WriteString(`# Made by "make generate" from libs/flow: change it there.
#
# Who may do what on the NATS server. Each password comes from a variable of the server's environment; begin it with a
# letter and use letters and digits, or put "" around it, because the server reads it as a value of this file.

accounts {
  $SYS {
    users: [{user: sys, password: $NATS_SYS_PASSWORD}]
  }

`)
	fmt.Fprintf(&b, "  # The streams. What others may import of them, they may do.\n  %s {\n    jetstream: enabled\n", account)
	fmt.Fprintf(&b, "    # The command line: signrelay provision, doctor, dlq, tail. It may do everything here.\n")
	fmt.Fprintf(&b, "    users: [{user: %s, password: $%s}]\n    exports: [\n", Operator, Password(Operator))
	exported := map[string]bool{}
	for _, u := range Users() {
		for _, subject := range u.Publish {
			if !exported[subject] {
				exported[subject] = true
				fmt.Fprintf(&b, "      {service: %s%s}\n", quote(subject), answers(subject))
			}
		}
	}
	b.WriteString("\n      # What subscribers need to copy the log.\n")
	for _, e := range []string{
		"service: " + quote("$JS.API.CONSUMER.CREATE."+Signing),
		"service: " + quote("$JS.FC."+Signing+".>"),
		"stream: " + quote(copyDelivery+".>"),
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

// answers is how many messages an exported request is answered with, where it is more than one.
func answers(subject string) string {
	if strings.HasPrefix(subject, direct) || strings.HasPrefix(subject, pull) {
		return ", response_type: stream"
	}
	return ""
}

func quote(subject string) string { return `"` + subject + `"` }

// reader is what every account of subscribers is made of: what it imports to copy the log, and what its users may.
func reader() string {
	var b strings.Builder
	b.WriteString("# Made by \"make generate\" from libs/flow: change it there. What an account in subscribers.conf is made of.\n\n")
	b.WriteString("# What it needs to copy the log.\nTHE_LOG: [\n")
	for _, i := range []string{
		"service: {account: " + account + ", subject: " + quote("$JS.API.CONSUMER.CREATE."+Signing) + "}, to: " + quote(copyAPI+".CONSUMER.CREATE."+Signing),
		"service: {account: " + account + ", subject: " + quote("$JS.FC."+Signing+".>") + "}",
		"stream: {account: " + account + ", subject: " + quote(copyDelivery+".>") + "}",
	} {
		fmt.Fprintf(&b, "  {%s}\n", i)
	}
	b.WriteString("]\n\n# It has room for the copy alone.\nONE_COPY: {max_streams: 1}\n\n# Its users read the copy by consumers of theirs, and can neither change nor remove it.\nREADS: {\n  publish: [\n")
	for _, subject := range reads() {
		fmt.Fprintf(&b, "    %s\n", quote(subject))
	}
	b.WriteString("  ]\n  subscribe: {deny: " + quote(copyDelivery+".>") + "}\n}\n")
	return b.String()
}

// reads is what a subscriber may do in its own account, where nobody else's consumers are.
func reads() []string {
	api := "$JS.API."
	return append([]string{
		api + "INFO",
		api + "STREAM.NAMES",
		api + "STREAM.LIST",
		api + "STREAM.INFO." + Signing,
		api + "STREAM.CREATE." + Signing, // once: a copy that is there is not made again, nor made otherwise
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

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/signrelay/signrelay/services/console"
)

// mostPasswordInput limits what is read from standard input.
const mostPasswordInput = 4096

// consolePassword prints the line of console.users for a user. The password comes from the terminal or from standard input, because a process list
// shows arguments.
func consolePassword(_ context.Context, c *call) error {
	if len(c.args) != 2 {
		return usageError{fmt.Sprintf("want a name and roles, such as mara look,operate; got %d arguments", len(c.args))}
	}
	password, err := c.readPassword()
	if err != nil {
		return err
	}
	line, err := console.UserLine(c.args[0], password, strings.Split(c.args[1], ","))
	if err != nil {
		return usageError{err.Error()}
	}
	return c.say("%s", line)
}

func (c *call) readPassword() (string, error) {
	if file, ok := c.stdin.(*os.File); ok && c.terminal {
		fmt.Fprint(c.stderr, "Password: ")
		password, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(c.stderr)
		if err != nil {
			return "", errors.New("the password cannot be read from the terminal")
		}
		return string(password), nil
	}
	text, err := io.ReadAll(io.LimitReader(c.stdin, mostPasswordInput))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

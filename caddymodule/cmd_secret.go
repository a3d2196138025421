package caddymodule

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// readPassword asks twice on a terminal; elsewhere it takes the first line of
// stdin. It never comes from the command line, where every local user can read
// it.
func (c *call) readPassword() (string, error) {
	in, ok := c.cmd.InOrStdin().(*os.File)
	if ok && term.IsTerminal(int(in.Fd())) {
		return c.promptPassword(int(in.Fd()))
	}
	line, err := bufio.NewReader(io.LimitReader(c.cmd.InOrStdin(), 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the password from stdin: %w", err)
	}
	password := strings.TrimRight(line, "\r\n")
	if password == "" {
		return "", usageError{errors.New("no password: write it as the first line of stdin, or run this in a terminal to be asked")}
	}
	return password, nil
}

// readSecret asks once on a terminal; elsewhere it takes the first line of stdin.
func (c *call) readSecret(what string) (string, error) {
	var secret string
	in, ok := c.cmd.InOrStdin().(*os.File)
	if ok && term.IsTerminal(int(in.Fd())) {
		fmt.Fprintf(c.cmd.ErrOrStderr(), "The %s: ", what)
		raw, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(c.cmd.ErrOrStderr())
		if err != nil {
			return "", fmt.Errorf("reading the %s: %w", what, err)
		}
		secret = string(raw)
	} else {
		line, err := bufio.NewReader(io.LimitReader(c.cmd.InOrStdin(), 32<<10)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading the %s from stdin: %w", what, err)
		}
		secret = line
	}
	if secret = strings.TrimSpace(secret); secret == "" {
		return "", usageError{fmt.Errorf("no %s: write it as the first line of stdin, or run this in a terminal to be asked", what)}
	}
	return secret, nil
}

func (c *call) promptPassword(fd int) (string, error) {
	ask := func(prompt string) (string, error) {
		fmt.Fprint(c.cmd.ErrOrStderr(), prompt)
		secret, err := term.ReadPassword(fd)
		fmt.Fprintln(c.cmd.ErrOrStderr())
		return string(secret), err
	}
	first, err := ask("New password: ")
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	again, err := ask("Once more: ")
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	if first != again {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	if first == "" {
		return "", errors.New("the password is empty; nothing was changed")
	}
	return first, nil
}

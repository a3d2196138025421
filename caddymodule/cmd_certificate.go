package caddymodule

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func certificateCommands() *cobra.Command {
	const (
		ref  = "<certificate> is a PEM file with it, or its fingerprint (sha256:…)"
		name = ", or the name that\nthe certificates option takes from it, for every certificate of that name"
	)
	list := command("list", "Lists which certificates stand for whom, and which are revoked", listCertificatesCommand)
	list.Flags().String("owner", "", "Only this user's or service's")
	bind := command("bind <owner> <certificate>", "Makes a certificate stand for a user or service", func(c *call) error {
		return c.certificate("bind", c.args[0], c.args[1], "%s stands for "+clean(c.args[0])+" now.")
	})
	unbind := command("unbind <owner> <certificate>", "Lets a certificate stand for itself again", func(c *call) error {
		return c.certificate("unbind", c.args[0], c.args[1], "%s stands for "+clean(c.args[0])+" no more.")
	})
	revoke := command("revoke <certificate>", "Refuses a certificate, at once; also one of an authority, with all it has signed", func(c *call) error {
		return c.certificate("revoke", "", c.args[0], "%s is refused from now on.")
	})
	revoke.Flags().String("note", "", "Why, for whoever reads the list")
	unrevoke := command("unrevoke <certificate>", "Takes a revocation back", func(c *call) error {
		return c.certificate("unrevoke", "", c.args[0], "%s is refused no more.")
	})
	for _, cmd := range []*cobra.Command{bind, unbind} {
		cmd.Long = cmd.Short + ".\n\n" + ref + name + "."
	}
	for _, cmd := range []*cobra.Command{revoke, unrevoke} {
		cmd.Long = cmd.Short + ".\n\n" + ref + "."
	}
	return group("certificate", "Manages client certificates", list, bind, unbind, revoke, unrevoke)
}

func (c *call) certificate(action, owner, certificate, done string) error {
	ref, err := certificateOf(certificate)
	if err != nil {
		return err
	}
	in := certificateRef{Owner: owner, Certificate: ref}
	if c.cmd.Flags().Lookup("note") != nil {
		in.Note = c.text("note")
	}
	if err := c.request(http.MethodPost, "/certificates/"+action, in, nil); err != nil {
		return err
	}
	c.say(done, clean(ref))
	return nil
}

// certificateOf reads a certificate from a PEM file, if the argument is one.
func certificateOf(arg string) (string, error) {
	info, err := os.Stat(arg)
	if err != nil && (strings.HasSuffix(arg, ".pem") || strings.HasSuffix(arg, ".crt")) && !strings.Contains(arg, "://") {
		return "", err // a slip in the path, not somebody's name
	}
	if err != nil || info.IsDir() {
		return arg, nil //nolint:nilerr // no file, so a name or fingerprint
	}
	if info.Size() > 1<<20 {
		return "", fmt.Errorf("%s is no certificate: it is larger than 1 MiB", arg)
	}
	raw, err := os.ReadFile(arg)
	if err != nil {
		return "", err
	}
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "", fmt.Errorf("%s: %w", arg, err)
		}
		sum := sha256.Sum256(block.Bytes)
		return "sha256:" + hex.EncodeToString(sum[:]), nil
	}
	return "", errors.New(arg + " holds no certificate in PEM form")
}

func listCertificatesCommand(c *call) error {
	var page certificatesPage
	if err := c.request(http.MethodGet, "/certificates?owner="+url.QueryEscape(c.text("owner")), nil, &page); err != nil {
		return err
	}
	owner := c.text("owner")
	if owner != "" {
		page.Revoked = page.Revoked[:0] // revocations have no owner
	}
	if len(page.Bindings)+len(page.Revoked) == 0 && !c.json() {
		if owner != "" {
			c.say("No certificate is bound to %s.", clean(owner))
			return nil
		}
		c.say("No certificate is bound to anybody, and none is revoked.")
		return nil
	}
	return c.print(page, func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "CERTIFICATE\tSTATE\tSINCE\tNOTE")
		for _, b := range page.Bindings {
			fmt.Fprintf(w, "%s\tstands for %s\t%s\t-\n", clean(b.Certificate), clean(b.Owner), shortTime(b.Created))
		}
		for _, r := range page.Revoked {
			fmt.Fprintf(w, "%s\trevoked\t%s\t%s\n", r.Fingerprint, shortTime(r.Created), orDash(r.Note))
		}
	})
}

package jwt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/outgoing"
	"github.com/gatehouse-proxy/gatehouse/internal/strictjson"
)

// origin is where a key set comes from.
type origin interface {
	// read fetches the set as it is now.
	read(ctx context.Context) (*Set, []skipped, error)
	pace() pace
	String() string // for messages
}

// pace is how often an origin is asked.
type pace struct {
	refresh time.Duration // after a success
	unknown time.Duration // between two looks for kids that are not in the set
	retry   time.Duration // after a failure; it doubles with each
	slowest time.Duration // what retry grows to
	stale   time.Duration // how long a set is good for after the last success; 0: for ever
}

var webPace = pace{refresh: 15 * time.Minute, unknown: 30 * time.Second, retry: time.Second, slowest: 30 * time.Second, stale: 24 * time.Hour}

// webOrigin is a JWKS at a fixed address.
type webOrigin struct {
	client *http.Client
	url    string
}

func (o *webOrigin) pace() pace     { return webPace }
func (o *webOrigin) String() string { return o.url }

func (o *webOrigin) read(ctx context.Context) (*Set, []skipped, error) {
	body, err := get(ctx, o.client, o.url)
	if err != nil {
		return nil, nil, fmt.Errorf("the key set at %s: %w", o.url, err)
	}
	set, out, err := parseJWKS(body)
	if err != nil {
		return nil, out, invalid(fmt.Errorf("the key set at %s: %w", o.url, err))
	}
	return set, out, nil
}

// discovery is a JWKS whose address the issuer's metadata tell. They are read
// each time, so that a move is noticed.
type discovery struct {
	client *http.Client
	issuer string
}

func (o *discovery) pace() pace     { return webPace }
func (o *discovery) String() string { return o.issuer }

func (o *discovery) read(ctx context.Context) (*Set, []skipped, error) {
	address, err := o.jwksURI(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("the metadata of issuer %s: %w", o.issuer, err)
	}
	return (&webOrigin{client: o.client, url: address}).read(ctx)
}

// jwksURI asks where OpenID Connect Discovery 1.0 section 4 says, and where
// there is nothing, at the address of RFC 8414 section 3.
func (o *discovery) jwksURI(ctx context.Context) (string, error) {
	body, err := get(ctx, o.client, strings.TrimSuffix(o.issuer, "/")+"/.well-known/openid-configuration")
	var failed *fetchError
	if errors.As(err, &failed) && failed.status == http.StatusNotFound {
		body, err = get(ctx, o.client, authorizationServer(o.issuer))
	}
	if err != nil {
		return "", err
	}
	doc, err := strictjson.Object(string(body))
	if err != nil {
		return "", invalid(err)
	}
	// Both documents demand that it is the same to the letter: else one issuer on
	// a shared host could speak for another.
	if doc["issuer"] != any(o.issuer) {
		return "", invalid(errors.New("they are of another issuer"))
	}
	address, err := text(doc, "jwks_uri")
	if err == nil {
		err = checkFound(address, o.issuer)
	}
	if err != nil {
		return "", invalid(fmt.Errorf("their jwks_uri cannot be used: %w", err))
	}
	return address, nil
}

// checkFound checks an address that an issuer told us. One that is reached by
// https may not send us to this machine's own services.
func checkFound(address, issuer string) error {
	const longest = 2048
	if len(address) > longest {
		return fmt.Errorf("it is longer than %d bytes", longest)
	}
	u, err := outgoing.URL(address)
	if err == nil && u.Scheme != "https" && strings.HasPrefix(issuer, "https:") {
		err = errors.New("it is not https")
	}
	return err
}

// authorizationServer puts the well-known part between host and path.
func authorizationServer(issuer string) string {
	scheme, rest, _ := strings.Cut(issuer, "://")
	host, path, _ := strings.Cut(strings.TrimSuffix(rest, "/"), "/")
	address := scheme + "://" + host + "/.well-known/oauth-authorization-server"
	if path != "" {
		address += "/" + path
	}
	return address
}

// fileOrigin is a file with a JWKS or PEM. It is small and near, so a change is
// found by reading it.
type fileOrigin struct{ path string }

func (o *fileOrigin) String() string { return o.path }

func (o *fileOrigin) pace() pace {
	const moment = 5 * time.Second
	return pace{refresh: moment, unknown: time.Second, retry: time.Second, slowest: moment}
}

func (o *fileOrigin) read(context.Context) (*Set, []skipped, error) {
	data, err := readFile(o.path)
	if err != nil { // the system's errors name the file
		return nil, nil, &fetchError{result: ResultUnreachable, err: fmt.Errorf("the key file cannot be read: %w", err)}
	}
	set, out, err := parseKeyFile(data)
	if err != nil {
		return nil, out, invalid(fmt.Errorf("the key file %s: %w", o.path, err))
	}
	return set, out, nil
}

func readFile(path string) ([]byte, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path) // a pipe would be waited for
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxAnswer+1))
	if err == nil && len(data) > maxAnswer {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxAnswer)
	}
	return data, err
}

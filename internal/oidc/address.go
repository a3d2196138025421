package oidc

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// checkURL says whether a provider may be at an address: by https, or by http on
// this machine. Anybody in between could make himself the provider.
func checkURL(address string) (*url.URL, error) {
	if len(address) > maxURL {
		return nil, fmt.Errorf("it is longer than %d bytes", maxURL)
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "" || !plain(address):
		return nil, errors.New("it is no URL")
	case u.User != nil || u.Fragment != "" || strings.Contains(address, "#"):
		return nil, errors.New("it has a user or a fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return nil, errors.New("it is not https")
	}
	return u, nil
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

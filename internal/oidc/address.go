package oidc

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/gatehouse-proxy/gatehouse/internal/outgoing"
)

// checkURL says whether a provider may be at an address.
func checkURL(address string) (*url.URL, error) {
	if len(address) > maxURL {
		return nil, fmt.Errorf("it is longer than %d bytes", maxURL)
	}
	if !plain(address) {
		return nil, errors.New("it is no URL")
	}
	return outgoing.URL(address)
}

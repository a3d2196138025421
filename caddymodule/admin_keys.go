package caddymodule

import (
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/gatehouse-proxy/gatehouse/config"
	"github.com/gatehouse-proxy/gatehouse/internal/key"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// keyView is a key as the admin API shows it. The key itself is shown once, when
// it is made or rotated.
type keyView struct {
	ID          string         `json:"id"`
	Owner       string         `json:"owner"`
	Description string         `json:"description,omitempty"`
	Scopes      []string       `json:"scopes"`
	Networks    []netip.Prefix `json:"networks,omitempty"`
	Rate        rateText       `json:"rate,omitempty"`
	Created     time.Time      `json:"created"`
	Expires     time.Time      `json:"expires"`
	Expired     bool           `json:"expired"`
	Rotated     *time.Time     `json:"rotated,omitempty"`
	GraceEnds   *time.Time     `json:"grace_ends,omitempty"` // until when the key before the last rotation works, too
	LastUsed    *time.Time     `json:"last_used,omitempty"`
	Uses        int64          `json:"uses"`

	Key string `json:"key,omitempty"` // the key itself, once
}

func viewKey(k *key.Key) keyView {
	return keyView{
		ID: k.ID, Owner: k.Owner, Description: k.Description, Scopes: list(k.Scopes), Networks: k.Networks,
		Rate: textOfRate(k.Rate), Created: k.Created, Expires: k.Expires, Expired: k.Expired,
		Rotated: moment(k.Rotated), GraceEnds: moment(k.GraceEnds), LastUsed: moment(k.LastUsed), Uses: k.Uses,
	}
}

type keysPage struct {
	Keys []keyView `json:"keys"`
	Next string    `json:"next,omitempty"` // the `after` of the next page
}

// errKeysOff says that what is asked for would do nothing.
var errKeysOff = apiError(http.StatusConflict, errors.New("keys are off in the running configuration"))

func (c *adminCall) listKeys() error {
	after, limit, err := c.page()
	if err != nil {
		return err
	}
	owner := c.r.URL.Query().Get("owner")
	if owner != "" {
		if owner, err = user.NormalizeName(owner); err != nil {
			return err
		}
	}
	found, err := c.svc.keys.List(c.r.Context(), owner, after, limit)
	if err != nil {
		return err
	}
	page := keysPage{Keys: make([]keyView, 0, len(found))}
	for _, k := range found {
		page.Keys = append(page.Keys, viewKey(k))
	}
	if len(found) == limit {
		page.Next = found[limit-1].ID
	}
	return c.write(http.StatusOK, page)
}

// newKey is the body of POST /gatehouse/keys.
type newKey struct {
	Owner       string          `json:"owner"`
	Scopes      []string        `json:"scopes"`
	Networks    []string        `json:"networks,omitempty"`
	Description string          `json:"description,omitempty"`
	Lifetime    config.Duration `json:"lifetime,omitzero"` // default 90 days, or the longest that is allowed
	Rate        rateText        `json:"rate,omitempty"`    // default: the service's
}

func (c *adminCall) createKey() error {
	var in newKey
	if err := c.read(&in); err != nil {
		return err
	}
	c.subject = in.Owner
	if c.app.Keys.Off {
		return errKeysOff
	}
	rate, err := in.Rate.rate()
	if err != nil {
		return err
	}
	text, k, err := c.svc.keys.Create(c.r.Context(), key.New{
		Owner: in.Owner, Scopes: in.Scopes, Networks: in.Networks, Description: in.Description,
		Lifetime: time.Duration(in.Lifetime), Rate: rate,
	})
	if err != nil {
		return err
	}
	c.credential = "key:" + k.ID
	view := viewKey(k)
	view.Key = text
	return c.write(http.StatusCreated, view)
}

func (c *adminCall) showKey() error {
	k, err := c.svc.keys.Get(c.r.Context(), c.r.PathValue("key"))
	if err != nil {
		return err
	}
	return c.write(http.StatusOK, viewKey(k))
}

// rotation is the body of POST /gatehouse/keys/{id}/rotate.
type rotation struct {
	Grace *config.Duration `json:"grace,omitempty"` // how long the key before works, too; default 24h
}

func (c *adminCall) rotateKey() error {
	var in rotation
	if err := c.read(&in); err != nil {
		return err
	}
	c.credential = credentialOf(c.r.PathValue("key"))
	if c.app.Keys.Off {
		return errKeysOff
	}
	grace := key.DefaultGrace
	if in.Grace != nil {
		grace = time.Duration(*in.Grace)
	}
	text, k, err := c.svc.keys.Rotate(c.r.Context(), c.r.PathValue("key"), grace)
	if err != nil {
		return err
	}
	c.subject = k.Owner
	view := viewKey(k)
	view.Key = text
	return c.write(http.StatusOK, view)
}

// credentialOf is how the audit trail names a key. A whole key that somebody took for
// an id is not to be written down.
func credentialOf(id string) string {
	if key.Looks(id) {
		return ""
	}
	return "key:" + id
}

func (c *adminCall) revokeKey() error {
	id := c.r.PathValue("key")
	c.credential = credentialOf(id)
	// Only to say whose it was: one that cannot be read is revoked all the same.
	if k, err := c.svc.keys.Get(c.r.Context(), id); err == nil {
		c.subject = k.Owner
	}
	if err := c.svc.keys.Revoke(c.r.Context(), id); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

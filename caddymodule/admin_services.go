package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/config"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// serviceView is a service as the admin API shows it.
type serviceView struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Label    string    `json:"label,omitempty"`
	Roles    []string  `json:"roles"`
	Groups   []string  `json:"groups"`
	Scopes   []string  `json:"scopes"`
	Rate     rateText  `json:"rate,omitempty"`
	Disabled bool      `json:"disabled"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
}

func viewService(u *user.User) serviceView {
	return serviceView{
		ID: u.ID, Name: u.Username, Label: u.Name, Roles: list(u.Roles), Groups: list(u.Groups), Scopes: list(u.Scopes),
		Rate: textOfRate(u.Rate), Disabled: u.Disabled, Created: u.Created, Updated: u.Updated,
	}
}

// rateText is a rate as people write it: "100/1m", "" for none.
type rateText string

func textOfRate(r identity.Rate) rateText {
	if !r.Limited() {
		return ""
	}
	return rateText(strconv.Itoa(r.Requests) + "/" + config.Duration(r.Per).String())
}

// rate reads "100/1m", "100/m" or "100/minute"-like short forms; "" is none.
func (t rateText) rate() (identity.Rate, error) {
	if t == "" {
		return identity.Rate{}, nil
	}
	bad := &user.InvalidError{Field: "rate", Reason: fmt.Sprintf("%.40q is no rate: write a number and a time, such as 100/1m", string(t))}
	count, per, found := strings.Cut(string(t), "/")
	n, err := strconv.Atoi(count)
	if err != nil || !found || n < 1 {
		return identity.Rate{}, bad
	}
	if per != "" && (per[0] < '0' || per[0] > '9') {
		per = "1" + per
	}
	d, err := config.ParseDuration(per)
	if err != nil || d <= 0 {
		return identity.Rate{}, bad
	}
	return identity.Rate{Requests: n, Per: time.Duration(d)}, nil
}

type servicesPage struct {
	Services []serviceView `json:"services"`
	Next     string        `json:"next,omitempty"` // the `after` of the next page
}

func (c *adminCall) listServices() error {
	after, limit, err := c.page()
	if err != nil {
		return err
	}
	found, err := c.svc.users.Services(c.r.Context(), after, limit)
	if err != nil {
		return err
	}
	page := servicesPage{Services: make([]serviceView, 0, len(found))}
	for _, u := range found {
		page.Services = append(page.Services, viewService(u))
	}
	if len(found) == limit {
		page.Next = found[limit-1].Username
	}
	return c.write(http.StatusOK, page)
}

// newService is the body of POST /gatehouse/services.
type newService struct {
	Name   string   `json:"name"`
	Label  string   `json:"label,omitempty"`
	Roles  []string `json:"roles,omitempty"`
	Groups []string `json:"groups,omitempty"`
	Scopes []string `json:"scopes,omitempty"`
	Rate   rateText `json:"rate,omitempty"`
}

func (c *adminCall) addService() error {
	var in newService
	if err := c.read(&in); err != nil {
		return err
	}
	c.subject = in.Name
	rate, err := in.Rate.rate()
	if err != nil {
		return err
	}
	u, err := c.svc.users.Add(c.r.Context(), user.New{
		Username: in.Name, Service: true, Name: in.Label, Roles: in.Roles, Groups: in.Groups, Scopes: in.Scopes, Rate: rate,
	})
	switch {
	case errors.Is(err, user.ErrExists):
		return apiError(http.StatusConflict, fmt.Errorf("%s: a user or service of this name exists", in.Name))
	case err != nil:
		return err
	}
	return c.write(http.StatusCreated, viewService(u))
}

// service is the service that a call names. A user of that name is none.
func (c *adminCall) service() (*user.User, error) {
	u, err := c.svc.users.Get(c.r.Context(), c.r.PathValue("name"))
	switch {
	case errors.Is(err, user.ErrNotFound):
		return nil, errNoService
	case err == nil && !u.Service:
		return nil, errIsPerson
	}
	return u, err
}

var errNoService = apiError(http.StatusNotFound, errors.New("there is no such service"))

func (c *adminCall) showService() error {
	u, err := c.service()
	if err != nil {
		return err
	}
	return c.write(http.StatusOK, viewService(u))
}

// serviceChange is the body of PATCH /gatehouse/services/{name}: what is absent
// stays.
type serviceChange struct {
	Label *string   `json:"label,omitempty"`
	Rate  *rateText `json:"rate,omitempty"`
	rightsChange
}

func (c *adminCall) setService() error {
	var in serviceChange
	if err := c.read(&in); err != nil {
		return err
	}
	var rate identity.Rate
	if in.Rate != nil {
		var err error
		if rate, err = in.Rate.rate(); err != nil {
			return err
		}
	}
	return c.changeService(func(u *user.User) error {
		if in.Label != nil {
			u.Name = *in.Label
		}
		if in.Rate != nil {
			u.Rate = rate
		}
		in.rightsChange.apply(u)
		return nil
	})
}

func (c *adminCall) disableService() error {
	return c.changeService(func(u *user.User) error { u.Disabled = true; return nil })
}

func (c *adminCall) enableService() error {
	return c.changeService(func(u *user.User) error { u.Disabled = false; return nil })
}

func (c *adminCall) changeService(how func(*user.User) error) error {
	u, err := c.svc.users.Update(c.r.Context(), c.r.PathValue("name"), func(u *user.User) error {
		if !u.Service {
			return errIsPerson
		}
		return how(u)
	})
	if errors.Is(err, user.ErrNotFound) {
		err = errNoService
	}
	if err != nil {
		return err
	}
	return c.write(http.StatusOK, viewService(u))
}

func (c *adminCall) deleteService() error {
	u, err := c.service()
	if err != nil {
		return err
	}
	if err := c.deleteOwner(u); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

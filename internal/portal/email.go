package portal

import (
	"net/http"
	"strings"
)

// postEmail leads to the provider that an e-mail address belongs to.
func (p *Portal) postEmail(v *visit, in input, back string) {
	address := hint(in["email"])
	var at *Provider
	for i := range p.o.Providers {
		w := &p.o.Providers[i]
		ok, own := w.takes(address)
		if own {
			at = w
			break
		}
		if ok && at == nil {
			at = w
		}
	}
	name, domain, _ := cutLast(address, "@")
	wrong := ""
	switch {
	case name == "" || domain == "" || strings.ContainsAny(address, " \t"):
		wrong = "That is no e-mail address."
	case at == nil:
		wrong = "No provider here is for such an address."
	}
	if wrong != "" {
		p.refuseEmail(v, in["email"], back, knownStep(in["step"]), wrong)
		return
	}
	p.leave(v, at, p.startURL(at, back, knownStep(in["step"]), address))
}

// refuseEmail shows the login page again, with what is wrong with an address.
func (p *Portal) refuseEmail(v *visit, address, back, step, wrong string) {
	fields := map[string]string{"email": wrong}
	if v.json {
		p.fail(v, invalid(fields))
		return
	}
	who, err := p.who(v)
	if err != nil {
		p.fault(v, "reading the session", err)
		return
	}
	data := loginData{ReturnTo: back, Email: address, Errors: fields}
	p.offer(&data, p.choose(v, who, step, ""), step, "")
	p.showLogin(v, http.StatusUnprocessableEntity, data, view{Error: wrong})
}

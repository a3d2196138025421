package portal

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-proxy/gatehouse/internal/key"
	"github.com/gatehouse-proxy/gatehouse/internal/password"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// checkNew adds to wrong what is not right with the chosen password. About are
// words of which it may not be made. The repeat counts only where it was sent:
// programs have no use for it.
func (p *Portal) checkNew(in input, wrong map[string]string, about ...string) {
	about = slices.DeleteFunc(about, func(s string) bool { return s == "" })
	if err := p.o.Rules.Check(in["password"], about...); err != nil {
		wrong["password"] = fieldText(err)
		return
	}
	if again, sent := in["repeat"]; sent && again != in["password"] {
		wrong["repeat"] = "The two are not the same."
	}
}

// fieldText is the text of a typed error about one field, as a sentence. Others
// have none that is fit to be shown.
func fieldText(err error) string {
	weak, bad, badKey := (*password.WeakError)(nil), (*user.InvalidError)(nil), (*key.InvalidError)(nil)
	switch {
	case errors.As(err, &weak):
		return sentence(weak.Reason)
	case errors.As(err, &bad):
		return sentence("It " + bad.Reason)
	case errors.As(err, &badKey):
		return sentence("It " + badKey.Reason)
	}
	return "It cannot be used."
}

func sentence(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(first)) + s[size:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// invalid is a form's errors as a problem, sorted by field.
func invalid(wrong map[string]string) problem.Problem {
	pr := problem.Problem{
		Status: http.StatusUnprocessableEntity, Kind: problem.BadRequest, Detail: "Some fields cannot be used as they are.",
	}
	for field, text := range wrong {
		pr.Reasons = append(pr.Reasons, field+": "+text)
	}
	slices.Sort(pr.Reasons)
	return pr
}

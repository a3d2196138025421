package policy

import (
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// The keys of the input and a few of its values, made once: terms are read-only
// and shared by all requests.
var (
	keyVersion  = ast.StringTerm("version")
	keyRequest  = ast.StringTerm("request")
	keyIdentity = ast.StringTerm("identity")
	keyTime     = ast.StringTerm("time")
	keySite     = ast.StringTerm("site")

	keyID       = ast.StringTerm("id")
	keyMethod   = ast.StringTerm("method")
	keyScheme   = ast.StringTerm("scheme")
	keyHost     = ast.StringTerm("host")
	keyPort     = ast.StringTerm("port")
	keyPath     = ast.StringTerm("path")
	keySegments = ast.StringTerm("segments")
	keyRawPath  = ast.StringTerm("raw_path")
	keyQuery    = ast.StringTerm("query")
	keyHeaders  = ast.StringTerm("headers")
	keyClientIP = ast.StringTerm("client_ip")
	keyProtocol = ast.StringTerm("protocol")

	keyAuthenticated = ast.StringTerm("authenticated")
	keyProvider      = ast.StringTerm("provider")
	keyIssuer        = ast.StringTerm("issuer")
	keySubject       = ast.StringTerm("subject")
	keyUsername      = ast.StringTerm("username")
	keyEmail         = ast.StringTerm("email")
	keyEmailVerified = ast.StringTerm("email_verified")
	keyName          = ast.StringTerm("name")
	keyRoles         = ast.StringTerm("roles")
	keyGroups        = ast.StringTerm("groups")
	keyScopes        = ast.StringTerm("scopes")
	keyClaims        = ast.StringTerm("claims")
	keyAMR           = ast.StringTerm("amr")
	keyAuthTime      = ast.StringTerm("auth_time")
	keyAuthAge       = ast.StringTerm("auth_age")
	keySessionID     = ast.StringTerm("session_id")

	keyUnix    = ast.StringTerm("unix")
	keyWeekday = ast.StringTerm("weekday")
	keyHour    = ast.StringTerm("hour")
	keyMinute  = ast.StringTerm("minute")
	keyPolicy  = ast.StringTerm("policy")

	versionTerm = ast.InternedTerm(inputVersion)
	weekdays    = weekdayTerms()
)

func weekdayTerms() (out [7]*ast.Term) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		out[d] = ast.StringTerm(strings.ToLower(d.String()))
	}
	return out
}

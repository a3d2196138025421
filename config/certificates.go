package config

// Certificates makes an identity of a client certificate that Caddy's own
// tls { client_auth } has verified.
type Certificates struct {
	// Username is the part of a certificate that names its holder: "san_email" or
	// "san_uri" (the one e-mail address or URI, such as a SPIFFE id, among its
	// subject alternative names) or "subject_cn" (the one common name of its
	// subject). A certificate with none or several of them is refused. Required.
	Username string `json:"username"`
}

// The values of Certificates.Username.
const (
	SANEmail  = "san_email"
	SANURI    = "san_uri"
	SubjectCN = "subject_cn"
)

func (c *Certificates) validate() error {
	names := []string{SANEmail, SANURI, SubjectCN}
	switch c.Username {
	case SANEmail, SANURI, SubjectCN:
		return nil
	case "":
		return fault("username", "it is missing: write username %s, whichever part of a certificate names its holder", List(names))
	}
	return fault("username", "%s", Unknown("part of a certificate", c.Username, names))
}

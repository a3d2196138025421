package jwt

import "context"

// maxSigned is the longest token that Signed looks at, in bytes: ID tokens, which a
// provider sends, may hold more than a request's header has room for.
const maxSigned = 64 << 10

// Signed checks the signature of a token in compact form with the source's keys,
// and returns its payload. It judges nothing else: which algorithm, type, issuer
// and times count is the caller's to say. The error is identity.ErrUnknown for a
// token that is malformed or signed by somebody else; any other means that the keys
// could not be found out.
func (s *Source) Signed(ctx context.Context, raw string) ([]byte, error) {
	t, err := parse(raw, maxSigned)
	if err != nil {
		return nil, refused(err)
	}
	if k, known := kinds[t.header.alg]; !known || k == kindSecret {
		return nil, refused(errSignature)
	}
	check, err := verifiers([]string{t.header.alg}, nil)
	if err != nil {
		return nil, err
	}
	i := &issuer{name: s.issuer, keys: s, verifiers: check}
	if _, _, err := i.checkSignature(ctx, t); err != nil {
		return nil, err
	}
	return []byte(t.payload), nil
}

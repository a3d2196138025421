package jwt

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// joe is the payload of RFC 7515 appendix A.1 and RFC 7519 section 3.1.
const joe = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

const (
	a1Key   = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
	a1Token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + joe + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

	a2Key = `{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR` +
		`T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg6` +
		`65xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}`
	a2Token = "eyJhbGciOiJSUzI1NiJ9." + joe + ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds" +
		"9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC" +
		"-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"

	a3Key   = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
	a3Token = "eyJhbGciOiJFUzI1NiJ9." + joe + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

	a4Key = `{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",` +
		`"y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}`
	a4Token = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8Ga" +
		"SwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"

	// RFC 8037 appendix A.1 and A.4.
	edKey   = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	edToken = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)

// TestExamplesOfTheRFCs checks the signatures of RFC 7515 appendix A.1 to A.4
// and RFC 8037 appendix A.4, and that any change spoils them.
func TestExamplesOfTheRFCs(t *testing.T) {
	secret, err := base64.RawURLEncoding.DecodeString(a1Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, alg, key, token string
		secret                []byte
	}{
		{"RFC 7515 A.1, RFC 7519 3.1: HS256", "HS256", "", a1Token, secret},
		{"RFC 7515 A.2: RS256", "RS256", a2Key, a2Token, nil},
		{"RFC 7515 A.3: ES256", "ES256", a3Key, a3Token, nil},
		{"RFC 7515 A.4: ES512", "ES512", a4Key, a4Token, nil},
		{"RFC 8037 A.4: EdDSA", "EdDSA", edKey, edToken, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := &issuer{secret: c.secret}
			if err := i.algorithms([]string{c.alg}); err != nil {
				t.Fatal(err)
			}
			var key any = c.secret
			if c.secret == nil {
				set, _, err := parseJWKS([]byte(`{"keys":[` + c.key + `]}`))
				if err != nil {
					t.Fatal(err)
				}
				keys, _ := set.candidates("", c.alg)
				if len(keys) != 1 {
					t.Fatalf("%d keys fit", len(keys))
				}
				key = keys[0].public
			}
			parts := strings.Split(c.token, ".")
			sig, err := decodePart(parts[2])
			if err != nil {
				t.Fatal(err)
			}
			check := func(input string, sig []byte) error {
				return i.try(&token{input: input, signature: sig, header: header{alg: c.alg}}, key)
			}
			input := parts[0] + "." + parts[1]
			if err := check(input, sig); err != nil {
				t.Error(err)
			}
			if err := check(input+"A", sig); err == nil {
				t.Error("another text is signed by it, too")
			}
			for n := range sig {
				sig[n] ^= 1
				if err := check(input, sig); err == nil {
					t.Errorf("byte %d does not count", n)
				}
				sig[n] ^= 1
			}
		})
	}
}

// TestTokenOfJoe verifies the token of RFC 7519 section 3.1 as far as it goes:
// it has no subject and no audience.
func TestTokenOfJoe(t *testing.T) {
	secret, err := base64.RawURLEncoding.DecodeString(a1Key)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *Options) {
		o.Issuers = []Issuer{{Name: "joe", Issuer: "joe", Audiences: []string{"x"}, Secret: secret, Types: []string{"JWT"}}}
		o.Clock = func() time.Time { return time.Unix(1300819380, 0) }
	})
	w.out(a1Token, "no sub")
	expired := newWorld(t, func(o *Options) { o.Issuers = w.options.Issuers })
	expired.out(a1Token, "expired")
}

// TestUnsecuredAndNestedExamples: RFC 7519 section 6.1 and appendix A.
func TestUnsecuredAndNestedExamples(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Issuers = append(o.Issuers, Issuer{Name: "joe", Issuer: "joe", Audiences: []string{"x"}, Secret: testSecret, Types: []string{"JWT"}})
	})
	w.out("eyJhbGciOiJub25lIn0."+joe+".", "algorithm")
	w.out("eyJhbGciOiJSU0ExXzUiLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0.QR1Owv2ug2WyPBnbQrRARTeEk9kDO2w8qDcjiHnSJflSdv1iNqhWXaKH4MqAkQtM."+
		"AxY8DCtDaGlsbGljb3RoZQ.MKOle7UQrG6nSxTLX6Mqwt0orbHvAKeWnDYvpIAeZ72deHxz3roJDXQyhxx0wKaMHDjUEOKIwrtkHthpqEanSBNYHZgmNOV7sln1Eu9g3J8.fiK51VwhsxJ-siBMR-YFiA", "encrypted")
	if err := refused(errSize); !errors.Is(err, identity.ErrUnknown) {
		t.Error(err)
	}
}

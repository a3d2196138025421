package jwt

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

func TestSigned(t *testing.T) {
	inBubble(t, func(t *testing.T, w *bubble) {
		claims := object{"iss": testIssuer, "sub": "alice", "nonce": "n"}.json()
		for alg, key := range map[string]any{"ES256": p256Pair(), "RS256": rsaPair(), "PS512": rsaPair(), "ES384": p384Pair(), "EdDSA": edPair()} {
			payload, err := w.Signed(t.Context(), sign(alg, key, object{"alg": alg, "typ": "JWT"}.json(), claims))
			var got map[string]any
			if err != nil || json.Unmarshal(payload, &got) != nil || got["sub"] != "alice" {
				t.Errorf("%s: %s, %v", alg, payload, err)
			}
		}
		good := sign("ES256", p256Pair(), object{"alg": "ES256", "kid": "ec"}.json(), claims)
		for name, token := range map[string]string{
			"another key": sign("ES256", otherP256(), object{"alg": "ES256", "kid": "ec"}.json(), claims),
			"an HMAC":     sign("HS256", testSecret, object{"alg": "HS256", "kid": "ec"}.json(), claims),
			"unsigned":    b64(`{"alg":"none"}`) + "." + b64(claims) + ".",
			"cut":         good[:len(good)-2],
			"nonsense":    "x",
			"own key":     sign("ES256", otherP256(), object{"alg": "ES256", "jwk": public("ec", otherP256())}.json(), claims),
		} {
			if payload, err := w.Signed(t.Context(), token); !errors.Is(err, identity.ErrUnknown) || payload != nil {
				t.Errorf("%s: %s, %v", name, payload, err)
			}
		}
		of := func(size int) string {
			return sign("ES256", p256Pair(), object{"alg": "ES256", "kid": "ec"}.json(), object{"iss": testIssuer, "x": strings.Repeat("a", size)}.json())
		}
		if payload, err := w.Signed(t.Context(), of(maxToken)); err != nil || payload == nil {
			t.Errorf("what is too long for a header is refused: %v", err)
		}
		if payload, err := w.Signed(t.Context(), of(maxSigned)); !errors.Is(err, identity.ErrUnknown) || payload != nil {
			t.Errorf("too long: %v", err)
		}
		never := w.source(SourceOptions{Issuer: testIssuer, JWKSURL: "https://id.example.com/nowhere"})
		defer never.Close()
		if payload, err := never.Signed(t.Context(), good); !errors.Is(err, ErrNoKeys) || errors.Is(err, identity.ErrUnknown) || payload != nil {
			t.Errorf("without keys: %s, %v", payload, err)
		}
	})
}

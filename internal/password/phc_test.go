package password

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
)

// cheap keeps tests fast. It is far below what Validate allows.
var cheap = Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}

// The salt is "somesalt"; the tag is the one that the
// reference implementation's own tests expect of argon2id for "password" with
// 64 MiB and two passes.
const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

func TestReferenceHash(t *testing.T) {
	h := NewHasher(Params{}, HasherOptions{})
	ok, outdated, err := h.Verify(context.Background(), reference, "password")
	if err != nil || !ok || !outdated {
		t.Errorf("got ok %v, outdated %v, %v; want it right, and outdated for its cost", ok, outdated, err)
	}
	if ok, _, err := h.Verify(context.Background(), reference, "Password"); err != nil || ok {
		t.Errorf("another password: got %v, %v", ok, err)
	}
}

func TestDamagedHashesAreRefused(t *testing.T) {
	salt, tag := strings.Repeat("A", 22), strings.Repeat("A", 43)
	for name, s := range map[string]string{
		"empty":                    "",
		"plain text":               "correct horse battery staple",
		"cut off":                  reference[:len(reference)-20] + "$",
		"no tag":                   "$argon2id$v=19$m=64,t=1,p=1$" + salt,
		"empty tag":                "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$",
		"short tag":                "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$AAAA",
		"empty salt":               "$argon2id$v=19$m=64,t=1,p=1$$" + tag,
		"short salt":               "$argon2id$v=19$m=64,t=1,p=1$AAAA$" + tag,
		"huge salt":                "$argon2id$v=19$m=64,t=1,p=1$" + strings.Repeat("A", 130) + "$" + tag,
		"a megabyte":               "$argon2id$v=19$m=64,t=1,p=1$" + strings.Repeat("A", 1<<20) + "$" + tag,
		"something before it":      "x$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + tag,
		"something after it":       "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + tag + "$",
		"argon2i":                  "$argon2i$v=19$m=64,t=1,p=1$" + salt + "$" + tag,
		"bcrypt":                   "$2y$10$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuuabcdefghi",
		"older version":            "$argon2id$v=16$m=64,t=1,p=1$" + salt + "$" + tag,
		"no version":               "$argon2id$m=64,t=1,p=1$" + salt + "$" + tag,
		"memory of 4 TiB":          "$argon2id$v=19$m=4294967295,t=1,p=1$" + salt + "$" + tag,
		"memory of 512 MiB":        "$argon2id$v=19$m=524288,t=1,p=1$" + salt + "$" + tag,
		"memory past 32 bits":      "$argon2id$v=19$m=4294967360,t=1,p=1$" + salt + "$" + tag,
		"no memory":                "$argon2id$v=19$m=0,t=1,p=1$" + salt + "$" + tag,
		"less memory than lanes":   "$argon2id$v=19$m=64,t=1,p=16$" + salt + "$" + tag,
		"endless iterations":       "$argon2id$v=19$m=64,t=4294967295,p=1$" + salt + "$" + tag,
		"no iterations":            "$argon2id$v=19$m=64,t=0,p=1$" + salt + "$" + tag,
		"a minute of work":         "$argon2id$v=19$m=262144,t=64,p=1$" + salt + "$" + tag,
		"255 lanes":                "$argon2id$v=19$m=4096,t=1,p=255$" + salt + "$" + tag,
		"lanes past 8 bits":        "$argon2id$v=19$m=64,t=1,p=257$" + salt + "$" + tag,
		"no lanes":                 "$argon2id$v=19$m=64,t=1,p=0$" + salt + "$" + tag,
		"negative number":          "$argon2id$v=19$m=-64,t=1,p=1$" + salt + "$" + tag,
		"plus sign":                "$argon2id$v=19$m=+64,t=1,p=1$" + salt + "$" + tag,
		"leading zero":             "$argon2id$v=19$m=064,t=1,p=1$" + salt + "$" + tag,
		"parameters in disorder":   "$argon2id$v=19$t=1,m=64,p=1$" + salt + "$" + tag,
		"a parameter twice":        "$argon2id$v=19$m=64,m=64,t=1,p=1$" + salt + "$" + tag,
		"an unknown parameter":     "$argon2id$v=19$m=64,t=1,p=1,keyid=AA$" + salt + "$" + tag,
		"line break in the salt":   "$argon2id$v=19$m=64,t=1,p=1$" + salt[:10] + "\n" + salt[10:] + "$" + tag,
		"padding":                  "$argon2id$v=19$m=64,t=1,p=1$" + salt + "==$" + tag + "=",
		"URL-safe base64":          "$argon2id$v=19$m=64,t=1,p=1$" + salt[1:] + "_$" + tag,
		"loose bits in the base64": "$argon2id$v=19$m=64,t=1,p=1$" + salt[1:] + "B$" + tag,
	} {
		t.Run(name, func(t *testing.T) {
			ok, outdated, err := NewHasher(cheap, HasherOptions{}).Verify(context.Background(), s, "")
			if ok || outdated || !errors.Is(err, ErrHash) {
				t.Errorf("got %v, %v, %v; want ErrHash", ok, outdated, err)
			}
			if s != "" && err != nil && strings.Contains(err.Error(), s) {
				t.Errorf("the error holds the hash: %v", err)
			}
		})
	}
}

func TestParamsValidate(t *testing.T) {
	for name, c := range map[string]struct {
		p    Params
		want string // in the error; "" for none
	}{
		"default":               {DefaultParams, ""},
		"OWASP, 46 MiB":         {Params{47104, 1, 1}, ""},
		"OWASP, 12 MiB":         {Params{12288, 3, 1}, ""},
		"OWASP, 9 MiB":          {Params{9216, 4, 1}, ""},
		"OWASP, 7 MiB":          {Params{7168, 5, 1}, ""},
		"RFC 9106, little room": {Params{65536, 3, 4}, ""},
		"zero":                  {Params{}, "memory must be from 7 MiB"},
		"little memory":         {Params{4096, 20, 1}, "memory must be from 7 MiB"},
		"bytes taken for KiB":   {Params{19 << 20, 2, 1}, "memory must be from 7 MiB to 256 MiB"},
		"no iterations":         {Params{19456, 0, 1}, "iterations must be from 1"},
		"65 iterations":         {Params{19456, 65, 1}, "iterations must be from 1 to 64"},
		"most iterations":       {Params{19456, math.MaxUint32, 1}, "iterations must be from 1 to 64"},
		"no lanes":              {Params{19456, 2, 0}, "parallelism must be from 1"},
		"17 lanes":              {Params{19456, 2, 17}, "parallelism must be from 1 to 16"},
		"19 MiB and one pass":   {Params{19456, 1, 1}, "too cheap"},
		"256 MiB and 64 passes": {Params{256 << 10, 64, 1}, "too dear"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.p.Validate()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err == nil && !c.p.bounded() {
				t.Error("valid, but would not run")
			}
		})
	}
}

// What is read is written again byte by byte, so no hash has two spellings, and
// none costs more than we are willing to pay.
func FuzzPHC(f *testing.F) {
	f.Add(reference)
	f.Add(phc{params: cheap, salt: make([]byte, 16), tag: make([]byte, 32)}.String())
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=64,t=1,p=1$\n$")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parsePHC(s)
		if err != nil {
			if !errors.Is(err, ErrHash) {
				t.Errorf("%q: %v is no ErrHash", s, err)
			}
			return
		}
		if h.String() != s {
			t.Errorf("%q was read as %q", s, h)
		}
		if !h.params.bounded() || len(h.salt) < minSalt || len(h.tag) < minTag {
			t.Errorf("%q is out of bounds", s)
		}
	})
}

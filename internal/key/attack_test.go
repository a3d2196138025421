package key

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

func TestMadeUpKeys(t *testing.T) {
	w := newWorld(t, Options{})
	text, k := w.make()
	otherText, other := w.make()
	w.in(text)
	replace := func(at int, with string) string { return text[:at] + with + text[at+len(with):] }
	for name, bad := range map[string]string{
		"empty":                         "",
		"the prefix":                    "gh_",
		"the public id":                 k.ID,
		"the store's key":               "key/" + k.ID,
		"the credential of the log":     "key:" + k.ID,
		"without its prefix":            text[3:],
		"without its last character":    text[:53],
		"without its checksum":          text[:48],
		"without its secret":            text[:16],
		"one more character":            text + "0",
		"twice":                         text + text,
		"very long":                     text + strings.Repeat("A", 1<<20),
		"a space before":                " " + text,
		"a space before, of its length": " " + text[:53],
		"a space behind":                text + " ",
		"a line break behind":           text + "\n",
		"a tab in it":                   replace(20, "\t"),
		"quoted":                        `"` + text + `"`,
		"with its scheme":               "Bearer " + text,
		"a NUL behind":                  text + "\x00",
		"a NUL for a character":         replace(20, "\x00"),
		"a NUL with a right checksum":   forge(replace(20, "\x00")[:48]),
		"a path for an id":              forge("gh_../user/alic_" + text[16:48]),
		"not UTF-8":                     replace(20, "\xff"),
		"not UTF-8, right checksum":     forge(replace(20, "\xff")[:48]),
		"upper case":                    strings.ToUpper(text),
		"lower case":                    strings.ToLower(text),
		"upper-case prefix":             "GH_" + text[3:],
		"Cyrillic р for p and so on":    strings.NewReplacer("a", "а", "e", "е", "o", "о", "g", "ɡ").Replace(text),
		"a full-width prefix":           "ｇｈ＿" + text[3:],
		"a full-width digit":            replace(20, "０"),
		"a look-alike, right checksum":  forge(replace(20, "а")[:48]),
		"a zero-width space in it":      text[:20] + "\u200b" + text[20:],
		"a hyphen for the separator":    forge(replace(15, "-")[:48]),
		"percent-encoded":               strings.Replace(text, "_", "%5F", 1),
		"the checksum of another key":   text[:48] + otherText[48:],
		"base64 characters":             forge(replace(20, "+/")[:48]),
	} {
		t.Run(name, func(t *testing.T) {
			before := w.store.reads.Load()
			if r := w.out(bad); r.Who != "" {
				t.Errorf("%+v", r)
			}
			if n := w.store.reads.Load() - before; n != 0 {
				t.Errorf("%d store reads for what was never a key", n)
			}
		})
	}
	t.Run("the id of one key with the secret of another", func(t *testing.T) {
		mixed := forge("gh_" + k.ID + "_" + otherText[16:48])
		if r := w.out(mixed); r.Who != "" || !strings.Contains(r.Reason, k.ID) {
			t.Errorf("%+v", r)
		}
		w.out(forge("gh_" + other.ID + "_" + text[16:48]))
		w.out(text[:16] + otherText[16:]) // cut and joined, with the checksum of the other
	})
	t.Run("never issued, with a right checksum", func(t *testing.T) {
		if r := w.out(forge("gh_" + strings.Repeat("A", 12) + "_" + text[16:48])); r.Who != "" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("no refusal holds anything secret", func(t *testing.T) {
		for _, bad := range []string{text[:53] + "-", forge(text[:47] + "-"), forge("gh_" + other.ID + "_" + text[16:48]), forge("gh_" + strings.Repeat("A", 12) + "_" + text[16:48])} {
			if r := w.out(bad); strings.Contains(r.Error(), text[16:30]) {
				t.Error(r)
			}
		}
	})
	w.in(text)
}

// TestEverySingleCharacter: no key is one character away from another, neither
// as it is nor with a checksum that was made to fit.
func TestEverySingleCharacter(t *testing.T) {
	w := newWorld(t, Options{})
	text, _ := w.make()
	w.in(text)
	for at := range len(text) {
		for _, c := range []byte(alphabet + "_-./ \x00\x80\xff") {
			if text[at] == c {
				continue
			}
			changed := text[:at] + string([]byte{c}) + text[at+1:]
			if _, ok := Parse(changed); ok {
				t.Fatalf("the checksum takes %q at %d", c, at)
			}
			w.out(changed)
			if at < bodyLen {
				w.out(forge(changed[:bodyLen]))
			}
		}
	}
}

func TestSwappedCharacters(t *testing.T) {
	w := newWorld(t, Options{})
	text, _ := w.make()
	for at := range len(text) - 1 {
		if text[at] == text[at+1] {
			continue
		}
		if _, ok := Parse(text[:at] + text[at+1:at+2] + text[at:at+1] + text[at+2:]); ok {
			t.Errorf("the checksum takes two that changed places at %d", at)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	w := newWorld(f, Options{})
	text, k := w.make()
	for _, s := range []string{"", text[:53], forge("gh_" + k.ID + "_" + strings.Repeat("0", 32)), strings.ToUpper(text), text + "\x00", k.ID} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if s == text {
			return // would need 190 right guesses
		}
		for _, presented := range []string{s, forge(prefix + k.ID + "_" + s)} {
			if presented == text {
				continue
			}
			id, quota, err := w.Identify(context.Background(), presented, home)
			if id != nil || quota != nil || !errors.Is(err, identity.ErrUnknown) {
				t.Fatalf("%q: %v, %v, %v", presented, id, quota, err)
			}
		}
	})
}

func TestRevoked(t *testing.T) {
	ctx := context.Background()
	t.Run("refused on the next request, by every manager of the store", func(t *testing.T) {
		w := newWorld(t, Options{})
		other := w.another(Options{})
		text, k := w.make()
		w.in(text)
		if _, _, err := other.Identify(ctx, text, home); err != nil {
			t.Fatal(err)
		}
		if err := w.Revoke(ctx, k.ID); err != nil {
			t.Fatal(err)
		}
		if r := w.out(text); r.Who != "" {
			t.Errorf("%+v", r)
		}
		refused(t, other, text, home)
		if err := w.Revoke(ctx, k.ID); !errors.Is(err, ErrNotFound) {
			t.Error("twice:", err)
		}
		if _, err := w.Get(ctx, k.ID); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	})
	t.Run("nothing of it stays, also not the uses that other managers write later", func(t *testing.T) {
		w := newWorld(t, Options{})
		other := w.another(Options{})
		text, k := w.make()
		w.in(text)
		w.write(w.Manager)
		w.in(text)
		if _, _, err := other.Identify(ctx, text, home); err != nil {
			t.Fatal(err)
		}
		if err := w.Revoke(ctx, k.ID); err != nil {
			t.Fatal(err)
		}
		if u := w.uses.pending(k.ID); u != (use{}) {
			t.Errorf("%+v is still to be written", u)
		}
		w.write(w.Manager)
		w.write(other)
		for _, prefix := range []string{"key/", "keyof/", "keyuse/"} {
			if list, err := w.store.Scan(ctx, prefix, "", 10); err != nil || len(list) != 0 {
				t.Error(list, err)
			}
		}
	})
	t.Run("while its uses are being written: no count comes back", func(t *testing.T) {
		w := newWorld(t, Options{})
		text, k := w.make()
		w.in(text)
		w.store.onCreate = func(string) {
			w.store.onCreate = nil
			if err := w.Revoke(ctx, k.ID); err != nil {
				t.Error(err)
			}
		}
		w.write(w.Manager)
		if _, found, err := w.store.Get(ctx, "keyuse/"+k.ID); found || err != nil {
			t.Error(found, err)
		}
	})
	t.Run("while it is being read: the read is not remembered", func(t *testing.T) {
		w := newWorld(t, Options{})
		text, k := w.make()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 200 {
					if _, _, err := w.Identify(ctx, text, home); err != nil && !errors.Is(err, identity.ErrUnknown) {
						t.Error(err)
						return
					}
				}
			})
		}
		if err := w.Revoke(ctx, k.ID); err != nil {
			t.Fatal(err)
		}
		w.out(text) // whatever the others do meanwhile
		all.Wait()
		w.out(text)
	})
	t.Run("odd ids reach no store key", func(t *testing.T) {
		w := newWorld(t, Options{})
		before := w.store.writes.Load() + w.store.reads.Load()
		for _, id := range []string{"", "../user/alic", "gh_aaaaaaaaa", strings.Repeat("a", 11), strings.Repeat("a", 13), strings.Repeat("a", 2000), "aaaaaaaaaaa\x00"} {
			if err := w.Revoke(ctx, id); !errors.Is(err, ErrNotFound) {
				t.Errorf("Revoke(%.20q): %v", id, err)
			}
			if _, err := w.Get(ctx, id); !errors.Is(err, ErrNotFound) {
				t.Errorf("Get(%.20q): %v", id, err)
			}
			if _, _, err := w.Rotate(ctx, id, 0); !errors.Is(err, ErrNotFound) {
				t.Errorf("Rotate(%.20q): %v", id, err)
			}
		}
		if n := w.store.writes.Load() + w.store.reads.Load() - before; n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestStoreDown(t *testing.T) {
	w := newWorld(t, Options{})
	text, k := w.make()
	cold := w.another(Options{})
	w.store.fail(store.ErrUnavailable)
	_, _, identify := cold.Identify(t.Context(), text, home)
	_, _, rotate := w.Rotate(t.Context(), k.ID, 0)
	_, _, wrong := cold.Identify(t.Context(), forge(text[:47]+"-"), home)
	for name, err := range map[string]error{
		"Identify":    identify,
		"Rotate":      rotate,
		"Get":         second(w.Get(t.Context(), k.ID)),
		"List":        second(w.List(t.Context(), "", "", 10)),
		"Alive":       second(cold.Alive(t.Context(), &identity.Identity{Method: identity.Key, ID: "usr_1", Credential: "key:" + k.ID})),
		"Revoke":      w.Revoke(t.Context(), k.ID),
		"RevokeOwner": second(w.RevokeOwner(t.Context(), "alice")),
	} {
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, identity.ErrUnknown) || errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !errors.Is(wrong, identity.ErrUnknown) {
		t.Error("what is no key needs no store:", wrong)
	}
	w.store.fail(nil)
	w.in(text)
}

// TestDamagedRecords: never a crash, never somebody, always the record's name in
// the error.
func TestDamagedRecords(t *testing.T) {
	w := newWorld(t, Options{})
	text, k := w.make(func(n *New) { n.Networks = []string{"192.0.2.0/24"} })
	raw, _, err := w.store.Get(t.Context(), "key/"+k.ID)
	if err != nil {
		t.Fatal(err)
	}
	good := string(raw)
	swap := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not in %s", old, good)
		}
		return strings.Replace(good, old, with, 1)
	}
	_, mine := w.make()
	others, _, err := w.store.Get(t.Context(), "key/"+mine.ID)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"empty":                    "",
		"cut off":                  good[:len(good)/2],
		"null":                     "null",
		"a list":                   "[]",
		"more behind it":           good + good,
		"no id":                    swap(`"id":"`+k.ID+`"`, `"id":""`),
		"no owner":                 swap(`"owner":"alice"`, `"owner":""`),
		"no owner's id":            swap(`"owner_id":"usr_1"`, `"owner_id":""`),
		"no secrets":               swap(`"secrets":[`, `"secrets":[],"was":[`),
		"a hash of another length": swap(`"hash":"`, `"hash":"AAAA`),
		"no hash":                  swap(`"hash":"`, `"hash":"","was":"`),
		"scopes that are no list":  swap(`["reports:read"]`, `"reports:read"`),
		"networks cannot be read":  swap(`192.0.2.0/24`, `everywhere`),
		"an empty network":         swap(`192.0.2.0/24`, ``),
		"a rate that allows none":  swap(`"created"`, `"rate":{"requests":-1,"per_ns":5},"created"`),
		"another key's record":     string(others),
	} {
		t.Run(name, func(t *testing.T) {
			if err := w.store.Put(t.Context(), "key/"+k.ID, []byte(raw), 0); err != nil {
				t.Fatal(err)
			}
			_, _, identify := w.Identify(t.Context(), text, home)
			_, _, rotate := w.Rotate(t.Context(), k.ID, 0)
			for what, err := range map[string]error{
				"Identify": identify,
				"Rotate":   rotate,
				"Get":      second(w.Get(t.Context(), k.ID)),
				"List":     second(w.List(t.Context(), "alice", "", 10)),
				"List all": second(w.List(t.Context(), "", "", 10)),
			} {
				if err == nil || errors.Is(err, identity.ErrUnknown) || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), `"key/`+k.ID+`"`) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if alive, _ := w.Alive(t.Context(), &identity.Identity{Method: identity.Key, ID: "usr_1", Credential: "key:" + k.ID}); alive {
				t.Error("alive")
			}
		})
	}
	t.Run("without its times a key has expired", func(t *testing.T) {
		if err := w.store.Put(t.Context(), "key/"+k.ID, []byte(swap(`"issued"`, `"was"`)), 0); err != nil {
			t.Fatal(err)
		}
		w.out(text)
	})
	t.Run("without its scopes it may do nothing", func(t *testing.T) {
		if err := w.store.Put(t.Context(), "key/"+k.ID, []byte(swap(`"scopes"`, `"was"`)), 0); err != nil {
			t.Fatal(err)
		}
		w.out(text)
	})
	t.Run("it can be revoked all the same", func(t *testing.T) {
		for _, revoke := range []func() error{
			func() error { return w.Revoke(t.Context(), k.ID) },
			func() error { return second(w.RevokeOwner(t.Context(), "alice")) },
		} {
			if err := w.store.Put(t.Context(), "key/"+k.ID, []byte("{"), 0); err != nil {
				t.Fatal(err)
			}
			if err := revoke(); err != nil {
				t.Error(err)
			}
			if _, found, err := w.store.Get(t.Context(), "key/"+k.ID); found || err != nil {
				t.Error(found, err)
			}
		}
		if list, err := w.store.Scan(t.Context(), "keyof/alice/", "", 10); err != nil || len(list) != 0 {
			t.Error(list, err)
		}
	})
}

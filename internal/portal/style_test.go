package portal

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
)

var (
	token  = regexp.MustCompile(`(--[a-z0-9-]+):\s*(#[0-9a-fA-F]{6});`)
	colour = regexp.MustCompile(`#[0-9a-fA-F]{3,8}\b|\brgba?\(|\bhsla?\(|\boklch\(`)
)

// schemes reads the colour tokens of the stylesheet.
func schemes(t *testing.T) (css string, light, dark map[string]string) {
	t.Helper()
	raw, err := assets.ReadFile("assets/portal.css")
	if err != nil {
		t.Fatal(err)
	}
	css = string(raw)
	read := func(after string) map[string]string {
		_, rest, ok := strings.Cut(css, after)
		block, _, closed := strings.Cut(rest, "}")
		if !ok || !closed {
			t.Fatalf("no block after %q", after)
		}
		found := map[string]string{}
		for _, m := range token.FindAllStringSubmatch(block, -1) {
			found[m[1]] = m[2]
		}
		return found
	}
	return css, read(":root {"), read("@media (prefers-color-scheme: dark) {\n  :root {")
}

// WCAG 2.2: text 4.5:1 (1.4.3), controls, their borders and focus rings 3:1
// (1.4.11).
func TestContrast(t *testing.T) {
	_, light, dark := schemes(t)
	if len(light) != len(dark) || len(light) < 20 {
		t.Fatalf("%d light and %d dark colours", len(light), len(dark))
	}
	for _, pair := range []struct {
		over, under string
		least       float64
	}{
		{"ink", "paper", 7}, {"ink", "sheet", 7}, {"ink", "tag", 7},
		{"soft", "paper", 4.5}, {"soft", "sheet", 4.5},
		{"leaf", "paper", 4.5}, {"leaf", "sheet", 4.5}, {"leaf-deep", "paper", 4.5}, {"leaf-deep", "tag", 4.5},
		{"leaf-ink", "leaf", 4.5}, {"leaf-ink", "leaf-deep", 4.5},
		{"bad", "paper", 4.5}, {"bad", "sheet", 4.5}, {"bad", "bad-wash", 4.5},
		{"good", "good-wash", 4.5}, {"good", "sheet", 4.5},
		{"night-ink", "night", 7}, {"night-ink", "wall-1", 4.5},
		{"edge", "paper", 3}, {"edge", "sheet", 3}, {"edge", "tag", 3}, {"leaf", "sheet", 3},
		{"ring", "paper", 3}, {"ring", "sheet", 3}, {"ring", "bad-wash", 3},
	} {
		for scheme, colours := range map[string]map[string]string{"light": light, "dark": dark} {
			over, under := colours["--"+pair.over], colours["--"+pair.under]
			if over == "" || under == "" {
				t.Fatalf("%s: no colour --%s or --%s", scheme, pair.over, pair.under)
			}
			if got := contrast(over, under); got < pair.least {
				t.Errorf("%s: --%s on --%s is %.2f:1, want %.1f:1", scheme, pair.over, pair.under, got, pair.least)
			}
		}
	}
	if got := contrast("#000000", "#ffffff"); math.Abs(got-21) > 0.01 {
		t.Errorf("black on white is %.2f", got)
	}
}

func TestStylesheet(t *testing.T) {
	css, _, _ := schemes(t)
	if strings.Count(css, "{") != strings.Count(css, "}") {
		t.Error("the braces do not match")
	}
	for i, line := range strings.Split(css, "\n") {
		if colour.MatchString(line) && !token.MatchString(line) {
			t.Errorf("line %d has a colour that is no token: %s", i+1, line)
		}
	}
	for _, used := range regexp.MustCompile(`var\((--[a-z0-9-]+)\)`).FindAllStringSubmatch(css, -1) {
		if !strings.Contains(css, used[1]+":") {
			t.Errorf("%s is used and never set", used[1])
		}
	}
	for _, set := range regexp.MustCompile(`(?m)^\s+(--[a-z0-9-]+):`).FindAllStringSubmatch(css, -1) {
		if !strings.Contains(css, "var("+set[1]+")") {
			t.Errorf("%s is set and never used", set[1])
		}
	}
	for _, forbidden := range []string{"@import", "url(", "http", "!important"} {
		if strings.Contains(css, forbidden) {
			t.Errorf("the stylesheet contains %q", forbidden)
		}
	}
	for _, needed := range []string{"prefers-color-scheme: dark", "prefers-reduced-motion", "forced-colors", "@media print", ":focus-visible"} {
		if !strings.Contains(css, needed) {
			t.Errorf("the stylesheet does without %q", needed)
		}
	}
}

// contrast is the ratio of WCAG 2.2, "contrast ratio" and "relative luminance".
func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (math.Max(x, y) + 0.05) / (math.Min(x, y) + 0.05)
}

func luminance(hex string) float64 {
	var r, g, b int
	if _, err := fmt.Sscanf(hex, "#%02x%02x%02x", &r, &g, &b); err != nil {
		return math.NaN()
	}
	linear := func(c int) float64 {
		v := float64(c) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(b)
}

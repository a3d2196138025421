package portal

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assets embed.FS

// asset is a file that never changes under its name: the name holds a hash of
// the content.
type asset struct {
	path string // below Base
	kind string // its Content-Type
	body []byte
}

func loadAsset(name, kind string) (asset, error) {
	body, err := assets.ReadFile("assets/" + name)
	if err != nil {
		return asset{}, fmt.Errorf("portal: %w", err)
	}
	sum := sha256.Sum256(body)
	ext := path.Ext(name)
	hashed := strings.TrimSuffix(name, ext) + "-" + hex.EncodeToString(sum[:6]) + ext
	return asset{path: "/assets/" + hashed, kind: kind, body: body}, nil
}

// serveAsset answers for an asset; false means that path names none.
func (p *Portal) serveAsset(v *visit, path string) bool {
	for _, a := range []asset{p.css, p.icon} {
		if path != a.path {
			continue
		}
		if v.r.Method != http.MethodGet && v.r.Method != http.MethodHead {
			p.notAllowed(v, route{get: func(*visit) {}})
			return true
		}
		v.w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		v.w.Header().Del("Vary")
		v.write(http.StatusOK, a.kind, a.body)
		return true
	}
	return false
}

package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/util"
)

// mergeData makes the one data document out of the data files: what a file
// holds sits under the path of its folder, as OPA does for folders.
func mergeData(files []file) (map[string]any, error) {
	root := map[string]any{}
	from := map[string]string{} // path in the document -> file that set it
	var errs []error
	for i := range files {
		f := &files[i]
		if f.rego() {
			continue
		}
		if err := addData(root, from, f); err != nil {
			errs = append(errs, err)
		}
	}
	return root, errors.Join(errs...)
}

func addData(root map[string]any, from map[string]string, f *file) error {
	doc, err := parseData(f)
	if err != nil {
		return err
	}
	at := f.rel[:len(f.rel)-1]
	for i := len(at) - 1; i >= 0; i-- {
		doc = map[string]any{at[i]: doc}
	}
	obj, ok := doc.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: data at the top of a policy folder must be an object", f.path)
	}
	if at, other := merge(root, obj, nil, from, f.path); at != nil {
		return fmt.Errorf("%s and %s both define data.%s", other, f.path, strings.Join(at, "."))
	}
	return nil
}

// parseData reads JSON or YAML with numbers kept as they are written.
func parseData(f *file) (any, error) {
	if len(strings.TrimSpace(string(f.text))) == 0 {
		return nil, fmt.Errorf("%s: the file is empty", f.path)
	}
	var doc any
	if strings.HasSuffix(f.path, ".json") {
		if err := util.UnmarshalJSON(f.text, &doc); err != nil {
			return nil, jsonError(f, err)
		}
		return doc, nil
	}
	if err := util.Unmarshal(f.text, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return doc, nil
}

// jsonError adds the line and column where the JSON went wrong.
func jsonError(f *file, err error) error {
	var syntax *json.SyntaxError
	offset := int64(len(f.text))
	if errors.As(err, &syntax) {
		offset = min(syntax.Offset, offset)
	}
	before := string(f.text[:offset])
	line := 1 + strings.Count(before, "\n")
	column := len(before) - strings.LastIndexByte(before, '\n') - 1
	return fmt.Errorf("%s:%d:%d: %w", f.path, line, max(column, 1), err)
}

// merge adds src to dst, objects into objects. It returns the first path that
// both have, and the file that had it first, and leaves dst half merged then.
func merge(dst, src map[string]any, at []string, from map[string]string, name string) ([]string, string) {
	for _, key := range slices.Sorted(maps.Keys(src)) {
		path := append(at[:len(at):len(at)], key)
		id := strings.Join(path, "\x00")
		old, taken := dst[key]
		if !taken {
			dst[key] = src[key]
			from[id] = name
			continue
		}
		a, okA := old.(map[string]any)
		b, okB := src[key].(map[string]any)
		if !okA || !okB {
			return path, origin(from, path)
		}
		if clash, other := merge(a, b, path, from, name); clash != nil {
			return clash, other
		}
	}
	return nil, ""
}

// origin finds the file that set path or the nearest object around it.
func origin(from map[string]string, path []string) string {
	for n := len(path); n > 0; n-- {
		if name, ok := from[strings.Join(path[:n], "\x00")]; ok {
			return name
		}
	}
	return "another file"
}

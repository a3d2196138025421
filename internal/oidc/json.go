package oidc

// stringIn returns a member that must be a string if it is there; "" when it is
// not there, or null.
func stringIn(m map[string]any, name string) (string, bool) {
	v := m[name]
	s, ok := v.(string)
	return s, ok || v == nil
}

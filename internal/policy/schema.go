package policy

// inputSchema is the input of contract section 5 as a JSON schema, for finding
// misspelt fields. What a field holds is left open where anything may be in it.
func inputSchema() any {
	text := map[string]any{"type": "string"}
	whole := map[string]any{"type": "integer"}
	truth := map[string]any{"type": "boolean"}
	texts := map[string]any{"type": "array", "items": text}
	open := map[string]any{"type": "object", "additionalProperties": true}
	return fields(map[string]any{
		"version": whole,
		"request": fields(map[string]any{
			"id": text, "method": text, "scheme": text, "host": text, "port": whole,
			"path": text, "segments": texts, "raw_path": text, "query": open, "headers": open,
			"client_ip": text, "protocol": text, "body": map[string]any{}, "body_truncated": truth,
		}),
		"identity": fields(map[string]any{
			"authenticated": truth, "method": text, "provider": text, "id": text, "issuer": text,
			"subject": text, "username": text, "email": text, "email_verified": truth, "name": text,
			"roles": texts, "groups": texts, "scopes": texts, "claims": open, "amr": texts,
			"auth_time": whole, "auth_age": whole, "session_id": text,
		}),
		"time": fields(map[string]any{"unix": whole, "weekday": text, "hour": whole, "minute": whole}),
		"site": fields(map[string]any{"host": text, "policy": text}),
	})
}

// fields is an object with these fields and no others.
func fields(of map[string]any) map[string]any {
	return map[string]any{"type": "object", "properties": of, "additionalProperties": false}
}

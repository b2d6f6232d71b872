package logging

import "log/slog"

// Secret is a value that must never be seen: it prints, logs and marshals as
// "***" (or as nothing when empty). Reveal returns it for its one use.
type Secret string

const redacted = "***"

// Reveal returns the value.
func (s Secret) Reveal() string { return string(s) }

// String returns a placeholder.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString returns a placeholder for %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// LogValue returns a placeholder for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns a placeholder for JSON, YAML and every other encoding.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

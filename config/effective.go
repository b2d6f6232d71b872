package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"llmhist/platform/logging"
)

// YAML returns the configuration as a file that Load would read, with every
// secret replaced by ***.
func (c Config) YAML() (string, error) {
	node, err := toYAML(reflect.ValueOf(c))
	if err != nil {
		return "", err
	}
	var out strings.Builder
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(node); err != nil {
		return "", fmt.Errorf("write the configuration: %w", err)
	}
	return out.String(), nil
}

// squashed is the tag of a struct whose fields are written as its parent's.
const squashed = ",squash"

func toYAML(v reflect.Value) (*yaml.Node, error) {
	node := &yaml.Node{}
	if text, ok := v.Interface().(encoding.TextMarshaler); ok {
		data, err := text.MarshalText()
		if err != nil {
			return nil, err
		}
		node.SetString(string(data))
		return node, nil
	}
	if d, ok := v.Interface().(time.Duration); ok {
		node.SetString(writeDuration(d))
		return node, nil
	}
	switch v.Kind() {
	case reflect.Struct:
		node.Kind = yaml.MappingNode
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("mapstructure") == "-" {
				continue
			}
			key := &yaml.Node{}
			key.SetString(v.Type().Field(i).Tag.Get("mapstructure"))
			value, err := toYAML(v.Field(i))
			if err != nil {
				return nil, err
			}
			if key.Value == squashed {
				node.Content = append(node.Content, value.Content...)
				continue
			}
			node.Content = append(node.Content, key, value)
		}
		return node, nil
	case reflect.Slice:
		node.Kind = yaml.SequenceNode
		for i := range v.Len() {
			value, err := toYAML(v.Index(i))
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, value)
		}
		return node, nil
	default:
		return node, node.Encode(v.Interface())
	}
}

// writeDuration writes whole days as 30d, as durationHook reads them.
func writeDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

// refusePlaceholders refuses the *** that YAML writes for a secret: a file made
// from it would otherwise send *** as a key.
func (c Config) refusePlaceholders() error {
	var faults []error
	walk(reflect.ValueOf(c), "", func(key string, value reflect.Value) {
		if holdsPlaceholder(value) {
			faults = append(faults, fmt.Errorf("%s is ***, which stands for a secret that was not shown: put the secret itself there", EnvName(key)))
		}
	})
	return errors.Join(faults...)
}

func holdsPlaceholder(v reflect.Value) bool {
	switch {
	case v.Type() == reflect.TypeFor[logging.Secret]():
		return v.String() == "***"
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			if holdsPlaceholder(v.Index(i)) {
				return true
			}
		}
	case v.Kind() == reflect.Map:
		for _, key := range v.MapKeys() {
			if holdsPlaceholder(v.MapIndex(key)) {
				return true
			}
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && holdsPlaceholder(v.Field(i)) {
				return true
			}
		}
	}
	return false
}

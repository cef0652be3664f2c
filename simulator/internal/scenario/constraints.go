package scenario

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// constraints is what the tags of a field in api/scenario/v1alpha1 say. Those tags also become the JSON Schema, so a bound
// stands in one place.
type constraints struct {
	required           bool
	unique             bool
	enum               []string
	pattern            *regexp.Regexp
	minimum, maximum   *float64
	above              *float64
	maxLength          int
	minItems, maxItems int
}

// field is one key of a mapping.
type field struct {
	typ         reflect.Type
	constraints constraints
	order       int
}

// fieldsOf returns the keys that a struct has in a document, those of embedded structs included.
func fieldsOf(t reflect.Type) map[string]field {
	fields := map[string]field{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			for inner, v := range fieldsOf(f.Type) {
				v.order += 100 * i
				fields[inner] = v
			}
			continue
		}
		fields[name] = field{f.Type, parseConstraints(f.Tag.Get("jsonschema")), 100 * i}
	}
	return fields
}

// keysOf returns the keys in the order in which the type declares them.
func keysOf(fields map[string]field) []string {
	keys := make([]string, 0, len(fields))
	for key := range fields {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(fields[a].order, fields[b].order), cmp.Compare(a, b))
	})
	return keys
}

// parseConstraints reads a jsonschema tag. The tags are part of the program, so one that it does not understand is a defect
// of the program and a panic; a test reads them all.
func parseConstraints(tag string) constraints {
	var c constraints
	if tag == "" {
		return c
	}
	for _, item := range splitTag(tag) {
		key, value, _ := strings.Cut(item, "=")
		switch key {
		case "required":
			c.required = true
		case "uniqueItems":
			c.unique = value == "true"
		case "enum":
			c.enum = append(c.enum, value)
		case "pattern":
			c.pattern = regexp.MustCompile(value)
		case "minimum":
			c.minimum = mustNumber(value)
		case "maximum":
			c.maximum = mustNumber(value)
		case "exclusiveMinimum":
			c.above = mustNumber(value)
		case "maxLength":
			c.maxLength = int(*mustNumber(value))
		case "minItems":
			c.minItems = int(*mustNumber(value))
		case "maxItems":
			c.maxItems = int(*mustNumber(value))
		default:
			panic(fmt.Sprintf("scenario: the tag %q has %q, which the loader does not check", tag, key))
		}
	}
	return c
}

// splitTag splits at commas that have no backslash before them, as the schema generator does.
func splitTag(tag string) []string {
	const comma = "\x00"
	items := strings.Split(strings.ReplaceAll(tag, `\,`, comma), ",")
	for i := range items {
		items[i] = strings.ReplaceAll(items[i], comma, ",")
	}
	return items
}

func mustNumber(text string) *float64 {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic(fmt.Sprintf("scenario: %q in a tag is not a number", text))
	}
	return &v
}

// items returns what of a list's constraints is meant for its entries.
func (c constraints) items() constraints { return constraints{enum: c.enum, pattern: c.pattern} }

// outOfRange returns what is wrong with a number; "" if nothing is. text is the number as it was written.
func (c constraints) outOfRange(value float64, text string) string {
	switch {
	case len(c.enum) > 0 && !slices.Contains(c.enum, text):
		return fmt.Sprintf("%s is not one of %s", text, strings.Join(c.enum, ", "))
	case math.IsNaN(value) || math.IsInf(value, 0):
		return text + " is not a finite number"
	case c.minimum != nil && value < *c.minimum:
		return fmt.Sprintf("%s is too small; it must be at least %s", text, plain(*c.minimum))
	case c.above != nil && value <= *c.above:
		return fmt.Sprintf("%s is too small; it must be above %s", text, plain(*c.above))
	case c.maximum != nil && value > *c.maximum:
		return fmt.Sprintf("%s is too large; it must be at most %s", text, plain(*c.maximum))
	}
	return ""
}

func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

package config

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Print writes the configuration in force as a file that can be used again, and where each value comes from. Files' names are in it,
// what stands in them is not, nor are passwords in URLs.
func (l *Loaded) Print(w io.Writer) error {
	c := l.Config
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.DiscardEmptyColumns)
	last := ""
	for _, s := range settings(&c) {
		section, name, indent := "", s.key, ""
		if before, after, ok := strings.Cut(s.key, "."); ok {
			section, name, indent = before, after, "  "
		}
		if section != last && section != "" {
			fmt.Fprintf(t, "%s:\n", section)
		}
		last = section
		origin := l.origins[s.key]
		if !s.usedBy(c.Role) {
			origin += "; a " + c.Role + " has no use for it"
		}
		fmt.Fprintf(t, "%s%s: %s\t# %s\n", indent, name, yamlOf(s.value), origin)
	}
	return t.Flush()
}

// plain is text that YAML takes for text without quotes.
var plain = regexp.MustCompile(`^[a-zA-Z/][a-zA-Z0-9./_-]*$`)

func yamlOf(v value) string {
	switch v := v.(type) {
	case *texts:
		words := make([]string, len(*v.field))
		for i, s := range *v.field {
			words[i] = yamlText(redact(s))
		}
		return "[" + strings.Join(words, ", ") + "]"
	case scalar[string]:
		return yamlText(redact(v.text()))
	}
	return v.text()
}

func yamlText(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return strconv.Quote(s)
	}
	if plain.MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}

package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/token"
)

var (
	nameRule   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	regionRule = regexp.MustCompile(`^[a-z0-9]{1,32}$`)
	hostRule   = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})$`)
)

// maxTextBytes bounds a text: nothing that is configured needs more.
const maxTextBytes = 4096

// value reads a setting's value from text into its field, and writes it. What it refuses it leaves alone.
type value interface {
	set(text string) error
	text() string
	// kind is what the value is, for the file: text, number or list; and unit, for people: "duration".
	kind() kind
	unit() string
	// bounds are for people: "1 to 1024".
	bounds() string
}

type kind int

const (
	textKind kind = iota
	numberKind
	// sizeKind may be a number or text.
	sizeKind
	listKind
)

// scalar is a value with one field.
type scalar[T any] struct {
	field  *T
	k      kind
	name   string
	limits string
	parse  func(string) (T, error)
	format func(T) string
}

func (s scalar[T]) set(text string) error {
	v, err := s.parse(text)
	if err == nil {
		*s.field = v
	}
	return err
}
func (s scalar[T]) text() string   { return s.format(*s.field) }
func (s scalar[T]) kind() kind     { return s.k }
func (s scalar[T]) unit() string   { return s.name }
func (s scalar[T]) bounds() string { return s.limits }

func same(s string) string { return s }

// text with a check.
func checked(field *string, unit, limits string, check func(string) error) value {
	return scalar[string]{field, textKind, unit, limits, func(s string) (string, error) { return s, check(s) }, same}
}

func pattern(field *string, rule *regexp.Regexp, want string) value {
	return checked(field, "name", "", func(s string) error {
		if !rule.MatchString(s) {
			return fmt.Errorf("%s: want %s", quote(s), want)
		}
		return nil
	})
}

func choice(field *string, of ...string) value {
	all := strings.Join(of[:len(of)-1], ", ") + " or " + of[len(of)-1]
	return checked(field, "name", all, func(s string) error {
		if !slices.Contains(of, s) {
			return fmt.Errorf("%s: want %s%s", quote(s), all, didYouMean(s, of))
		}
		return nil
	})
}

func path(field *string) value {
	return checked(field, "path", "", func(s string) error {
		if len(s) > maxTextBytes || strings.ContainsRune(s, 0) {
			return fmt.Errorf("%s is no path", quote(s))
		}
		return nil
	})
}

// listen is an address to listen on: host and port, the host may be empty for all of this machine's. Empty: do not listen.
func listen(field *string) value {
	return checked(field, "address", "host:port", func(s string) error {
		if s == "" {
			return nil
		}
		return address(s, true)
	})
}

// dialAddress is one of others, to connect to.
func dialAddress(s string) error { return address(s, false) }

func address(s string, listens bool) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%s is no address: want host:port, as in 10.0.0.1:7422 or [::1]:7422", quote(s))
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil:
		return fmt.Errorf("%s: the port is not a number from 0 to 65535", quote(s))
	case !listens && n == 0:
		return fmt.Errorf("%s: nobody can be reached at port 0", quote(s))
	case !listens && host == "":
		return fmt.Errorf("%s: the host is missing; this is where others are", quote(s))
	case host != "" && net.ParseIP(strings.SplitN(host, "%", 2)[0]) == nil && !hostRule.MatchString(host):
		return fmt.Errorf("%s: the host is neither a name nor an IP address", quote(s))
	}
	return nil
}

// origin is one that a browser sends in its Origin header.
func origin(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" || s != strings.ToLower(u.Scheme+"://"+u.Host) {
		return fmt.Errorf("%s is no web origin: want scheme and host, in lower case and without a path, as in https://app.example.com", quote(s))
	}
	return nil
}

// prefix is a range of addresses.
func prefix(s string) error {
	if _, err := netip.ParsePrefix(s); err != nil {
		return fmt.Errorf("%s is no range of addresses: want one as 10.0.0.0/8, or 10.0.0.1/32 for a single one", quote(s))
	}
	return nil
}

// proxies is a range of addresses that are believed. Not everybody's: then clients could say what they like.
func proxies(s string) error {
	if err := prefix(s); err != nil {
		return err
	}
	if netip.MustParsePrefix(s).Bits() == 0 {
		return fmt.Errorf("%s is everybody, and whoever comes could say that he is somebody else: want the addresses of the proxies", quote(s))
	}
	return nil
}

// issuer is one line about an issuer of tokens.
func issuer(s string) error {
	if len(s) > maxTextBytes {
		return fmt.Errorf("%s is too long", quote(s))
	}
	_, err := token.ParseIssuer(s)
	return err
}

func number(field *int, least, most int) value {
	return scalar[int]{field, numberKind, "number", fmt.Sprintf("%d to %d", least, most), func(s string) (int, error) {
		n, err := whole(s)
		if err == nil && (n < least || n > most) {
			err = fmt.Errorf("%s: want %d to %d", s, least, most)
		}
		return n, err
	}, strconv.Itoa}
}

func numberOf(field *int, of ...int) value {
	words := make([]string, len(of))
	for i, n := range of {
		words[i] = strconv.Itoa(n)
	}
	all := strings.Join(words[:len(of)-1], ", ") + " or " + words[len(of)-1]
	return scalar[int]{field, numberKind, "number", all, func(s string) (int, error) {
		n, err := whole(s)
		if err == nil && !slices.Contains(of, n) {
			err = fmt.Errorf("%s: want %s", s, all)
		}
		return n, err
	}, strconv.Itoa}
}

func whole(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("%s is not a whole number", quote(s))
	}
	return n, nil
}

// decimal is a rate.
func decimal(field *float64) value {
	const least, most = 0.1, 1_000_000
	format := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	limits := format(least) + " to " + format(most)
	return scalar[float64]{field, numberKind, "number", limits, func(s string) (float64, error) {
		f, err := strconv.ParseFloat(s, 64)
		switch {
		case err != nil || math.IsNaN(f):
			return 0, fmt.Errorf("%s is not a number", quote(s))
		case f < least || f > most:
			return 0, fmt.Errorf("%s: want %s", s, limits)
		}
		return f, nil
	}, format}
}

func duration(field *time.Duration, least, most time.Duration) value {
	limits := formatDuration(least) + " to " + formatDuration(most)
	return scalar[time.Duration]{field, textKind, "duration", limits, func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		switch {
		case err != nil:
			return 0, fmt.Errorf("%s is not a duration: want a number with its unit, as in 500ms, 30s or 5m", quote(s))
		case d < least || d > most:
			return 0, fmt.Errorf("%s: want %s", s, limits)
		}
		return d, nil
	}, formatDuration}
}

// formatDuration writes a duration without its zeros at the end: 5m, not 5m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

var sizeUnits = []struct {
	suffix string
	bytes  int
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

func size(field *int, least, most int) value {
	limits := formatSize(least) + " to " + formatSize(most)
	return scalar[int]{field, sizeKind, "size", limits, func(s string) (int, error) {
		n, err := parseSize(s)
		if err == nil && (n < least || n > most) {
			err = fmt.Errorf("%s: want %s", s, limits)
		}
		return n, err
	}, formatSize}
}

func parseSize(s string) (int, error) {
	for _, u := range sizeUnits {
		if digits, ok := strings.CutSuffix(s, u.suffix); ok {
			n, err := strconv.ParseUint(digits, 10, 62)
			if err == nil && n <= math.MaxInt/uint64(u.bytes) {
				return int(n) * u.bytes, nil
			}
		}
	}
	return 0, fmt.Errorf("%s is not a size: want whole bytes, as in 65536, 64KiB or 1MiB", quote(s))
}

func formatSize(n int) string {
	for _, u := range sizeUnits {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.Itoa(n/u.bytes) + u.suffix
		}
	}
	return strconv.Itoa(n) + "B"
}

// texts is a list of texts. Flags and variables separate its entries by commas.
type texts struct {
	field *[]string
	most  int
	entry func(string) error
}

func list(field *[]string, most int, entry func(string) error) value {
	return &texts{field, most, entry}
}

func (t *texts) set(text string) error {
	var entries []string
	if text != "" {
		entries = strings.Split(text, ",")
	}
	for i := range entries {
		entries[i] = strings.TrimSpace(entries[i])
	}
	return t.setAll(entries)
}

func (t *texts) setAll(entries []string) error {
	if len(entries) > t.most {
		return fmt.Errorf("%d entries: at most %d are allowed", len(entries), t.most)
	}
	for i, e := range entries {
		if err := t.entry(e); err != nil {
			return err
		}
		if slices.Contains(entries[:i], e) {
			return fmt.Errorf("%s is given twice", quote(e))
		}
	}
	*t.field = entries
	return nil
}

func (t *texts) text() string   { return strings.Join(*t.field, ",") }
func (t *texts) kind() kind     { return listKind }
func (t *texts) unit() string   { return "list" }
func (t *texts) bounds() string { return "" }

// passwords are those in URLs.
var passwords = regexp.MustCompile(`(://[^/@\s]*:)[^/@\s]+@`)

// redact takes passwords out of what people see.
func redact(s string) string { return passwords.ReplaceAllString(s, "${1}xxxxx@") }

// quote shows what was given, shortened.
func quote(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}

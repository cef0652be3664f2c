package token

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// algorithms that a token may be signed with. A new one is added here and gets its check of the key's type in usableFor;
// an algorithm that is not listed is refused before any key is looked up, "none" with it.
var algorithms = []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256, jose.RS256}

// Issuer is somebody whose tokens are accepted. All issuers of a fleet speak of the same users: "alice" of one is "alice" of the other.
type Issuer struct {
	// Name is the "iss" of its tokens. One issuer may have none: its tokens are those whose "iss" is no other issuer's, or is
	// missing. That is for development, and where there is but one issuer.
	Name string `json:"name" yaml:"name"`
	// Keys is where its JWK set is: a file, or a URL (https; http only on this machine).
	Keys string `json:"keys" yaml:"keys"`
	// Audience is what "aud" must hold. Default Audience.
	Audience string `json:"audience" yaml:"audience"`
	// Algorithms that it signs with: EdDSA, ES256, RS256. Default all of them.
	Algorithms []string `json:"algorithms" yaml:"algorithms"`
	// Leeway is how far its clock may be from ours, at most MaxLeeway. Default Leeway.
	Leeway time.Duration `json:"leeway" yaml:"leeway"`
}

// Validate says what is wrong with an issuer.
func (i Issuer) Validate() error {
	switch {
	case i.Keys == "":
		return fmt.Errorf("the issuer %q has no keys: give the file or the URL of its JWK set", i.Name)
	case i.Leeway < 0 || i.Leeway > MaxLeeway:
		return fmt.Errorf("the issuer %q has a leeway of %v: want 0 to %v", i.Name, i.Leeway, MaxLeeway)
	}
	for _, alg := range i.Algorithms {
		if !slices.Contains(algorithms, jose.SignatureAlgorithm(alg)) {
			return fmt.Errorf("the issuer %q has the algorithm %q: want some of %v", i.Name, clip(alg), algorithms)
		}
	}
	if isURL(i.Keys) {
		return validURL(i.Keys)
	}
	return nil
}

// ValidateIssuers says what is wrong with the issuers of a fleet.
func ValidateIssuers(issuers []Issuer) error {
	if len(issuers) == 0 {
		return errors.New("nobody issues tokens: give the keys of an issuer; `chatd keygen` makes some for development")
	}
	seen := make(map[string]bool, len(issuers))
	for _, i := range issuers {
		if err := i.Validate(); err != nil {
			return err
		}
		if seen[i.Name] {
			return fmt.Errorf("the issuer %q is there twice; the keys of one issuer are one set", i.Name)
		}
		seen[i.Name] = true
	}
	return nil
}

func isURL(keys string) bool {
	return strings.HasPrefix(keys, "https://") || strings.HasPrefix(keys, "http://")
}

// validURL refuses keys that anybody on the way could replace.
func validURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("the keys' URL: %w", err)
	}
	host := u.Hostname()
	switch ip := net.ParseIP(host); {
	case host == "":
		return fmt.Errorf("the keys' URL %s has no host", u.Redacted())
	case u.Scheme == "http" && host != "localhost" && (ip == nil || !ip.IsLoopback()):
		return fmt.Errorf("the keys' URL %s: want https, since whoever is on the way could put his own keys in their place", u.Redacted())
	}
	return nil
}

// accepted is an issuer with its defaults and its keys.
type accepted struct {
	Issuer
	algorithms []jose.SignatureAlgorithm
	source     *source
}

func accept(i Issuer, s *source) *accepted {
	a := &accepted{Issuer: i, algorithms: algorithms, source: s}
	if a.Audience == "" {
		a.Audience = Audience
	}
	if a.Leeway == 0 {
		a.Leeway = Leeway
	}
	if len(i.Algorithms) > 0 {
		a.algorithms = nil
		for _, alg := range i.Algorithms {
			a.algorithms = append(a.algorithms, jose.SignatureAlgorithm(alg))
		}
	}
	return a
}

// ParseIssuer reads an issuer from one line, for a command line: "iss=https://id.example.com keys=https://id.example.com/jwks.json
// aud=chat alg=ES256+RS256 leeway=1m". Only keys must be there.
func ParseIssuer(line string) (Issuer, error) {
	var i Issuer
	for field := range strings.FieldsSeq(line) {
		name, value, ok := strings.Cut(field, "=")
		if !ok {
			return Issuer{}, fmt.Errorf("issuer %q: %q is not of the form name=value", line, field)
		}
		switch name {
		case "iss":
			i.Name = value
		case "keys":
			i.Keys = value
		case "aud":
			i.Audience = value
		case "alg":
			i.Algorithms = strings.Split(value, "+")
		case "leeway":
			var err error
			if i.Leeway, err = time.ParseDuration(value); err != nil {
				return Issuer{}, fmt.Errorf("issuer %q: leeway %q: want a duration as 30s", line, value)
			}
		default:
			return Issuer{}, fmt.Errorf("issuer %q: %q is none of iss, keys, aud, alg, leeway", line, name)
		}
	}
	return i, i.Validate()
}

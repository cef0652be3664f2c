package token

import "errors"

// reasons are all for which a token is refused, by the short names that metrics have for them.
var reasons = []struct {
	err  error
	name string
}{
	{ErrMissing, "missing"},
	{ErrMalformed, "malformed"},
	{ErrAlgorithm, "algorithm"},
	{ErrIssuer, "issuer"},
	{ErrKeysAway, "keys_away"},
	{ErrUnknownKey, "unknown_key"},
	{ErrSignature, "signature"},
	{ErrExpired, "expired"},
	{ErrNotYet, "not_yet"},
	{ErrAudience, "audience"},
	{ErrSubject, "subject"},
	{ErrNoIssueTime, "no_issue_time"},
	{ErrNoExpiry, "no_expiry"},
	{ErrTooLong, "life_too_long"},
	{ErrRevoked, "revoked"},
	{ErrResume, "no_resume_token"},
	{ErrDevice, "other_device"},
}

// ReasonOf is the short name of why a token was refused, "other" if the error is none of this package's.
func ReasonOf(err error) string {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	return "other"
}

// Reasons has an error of each reason, by its name.
func Reasons() map[string]error {
	all := make(map[string]error, len(reasons))
	for _, r := range reasons {
		all[r.name] = r.err
	}
	return all
}

package command

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/chatd/internal/token"
)

// What stands in for an issuer of tokens, for development: a key pair, and tokens signed with it.

func keygenCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:     "keygen",
		Short:   "Make a key pair for users' tokens, for development",
		Long:    "Keygen makes a key pair that signs users' tokens: for development and tests. Real users' tokens come from your own issuer.",
		Example: "  chatd keygen --out keys",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signer, err := token.GenerateSigner(nil, nil)
			if err != nil {
				return err
			}
			if err := signer.WriteKeyPair(dir); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s signs tokens, keep it secret\n%s is for --token-keys\n",
				filepath.Join(dir, token.SigningKeyFile), filepath.Join(dir, token.KeySetFile))
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "out", "keys", "directory to write the keys to")
	return cmd
}

func tokenCommand() *cobra.Command {
	var (
		key, user string
		ttl       time.Duration
	)
	cmd := &cobra.Command{
		Use:     "token",
		Short:   "Print a token that signs a user in, for development",
		Example: "  chatd token --key keys/signing.key --user alice",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if user == "" {
				return usageError{errors.New("--user is missing: whom should the token sign in?")}
			}
			signer, err := token.LoadSigner(key, nil)
			if err != nil {
				return err
			}
			raw, err := signer.Sign(user, ttl)
			if err != nil {
				return usageError{err}
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), raw)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&key, "key", filepath.Join("keys", token.SigningKeyFile), "the signing key")
	f.StringVar(&user, "user", "", "the user")
	f.DurationVar(&ttl, "ttl", time.Hour, "how long the token is good for")
	return cmd
}

package command

import (
	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/chatd/internal/config"
)

func referenceCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "reference",
		Short:   "Print the reference of all settings: docs/configuration.md",
		Example: "  chatd reference > docs/configuration.md",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return config.WriteReference(cmd.OutOrStdout()) },
	}
}

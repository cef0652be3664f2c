// Operator runs fleets of chatd on Kubernetes, as ChatClusters ask for, and shows beforehand what it would do.
package main

import (
	"os"

	"github.com/chatfleet/chatfleet/operator/internal/command"
)

func main() { os.Exit(command.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

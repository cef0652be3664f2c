// Simulator plays a scenario against a chat fleet and says whether the fleet did what the scenario demands.
package main

import (
	"os"

	"github.com/chatfleet/chatfleet/simulator/internal/command"
)

func main() { os.Exit(command.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

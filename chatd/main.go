// Chatd is the chat server: one binary that keeps logs (role store), holds sessions (role shard), or both (role combined).
package main

import (
	"os"

	"github.com/chatfleet/chatfleet/chatd/internal/command"
)

func main() { os.Exit(command.Main(os.Args[1:], os.Stdout, os.Stderr)) }

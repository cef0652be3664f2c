// Package examples holds example clients of the protocol in docs/protocol.md, each written from that page alone: go is a program
// over a plain WebSocket, js a module for browsers and Node. Neither uses anything of this repository. The package itself has tests
// only: they run the examples, and the commands that README.md and the page show, against a real chatd, and see that the page shows
// the examples as they are.
package examples

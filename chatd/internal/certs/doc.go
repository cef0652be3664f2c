// Package certs is how a member proves who it is, and asks others to: certificates in files that change while it runs.
//
// A Source reads a certificate, its key and perhaps a bundle of authorities, looks every ten seconds whether they are others, and takes new ones
// up for the next handshake; connections that there are stay. Files that make no sense change nothing, and are said in the log and as a
// metric. Members is mutual TLS inside a fleet by such a source: every certificate names its bearer's fleet and role (Identity), and a
// port takes certain roles of its own fleet alone. Host names play no part in that, since pods are reached by names and addresses that come
// and go; so a certificate is good for its role at any address.
//
// Package node calls it for the admin port and for clients, package bus for what goes between members, package command as a client of an
// admin port. It issues nothing.
package certs

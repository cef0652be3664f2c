// Empty: it lets the package declare a function without a body, for go:linkname.

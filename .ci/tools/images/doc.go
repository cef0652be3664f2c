// Images packs the project's programs into container images: from scratch, one static binary each and the public certificate
// authorities, for several architectures, the same bytes from the same commit. `make images` calls it; docs/images.md says what comes out.
//
// It is a program of its own because ko, which does most of this, has no scratch base. It builds with the go command, asks no registry for
// anything, and needs no container engine. It is not for running images, nor for loading them into a cluster.
package main

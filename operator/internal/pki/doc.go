// Package pki is the fleet's own certificate authority: what members prove themselves with to each other, and to the operator. It is pure but
// for randomness: what was kept, and the time, go in; what is to be kept comes out. Package render puts it into Secrets.
//
// Nothing is restarted for a renewal, and nothing is refused during one: a new authority is trusted for a while before it signs, and an
// old one for a while after nothing is signed by it any more (Spread each). It issues for members of one fleet alone; clients' certificates
// come from elsewhere.
package pki

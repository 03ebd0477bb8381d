// Package cert keeps the certificate with which a node proves itself to clients over TCP and WebSocket.
//
// A [Pair] is a certificate and its key in two files. It reads them again when they change, whether they are overwritten, replaced by a rename, or
// are behind symbolic links that move, as Kubernetes does it: connections that begin then get the new certificate, and the others go on. Files that
// do not fit each other leave the old certificate in force.
//
// [SelfMade] makes a pair for development. Nobody vouches for it: clients compare its [Pair.Fingerprint] ([Pinned]).
package cert

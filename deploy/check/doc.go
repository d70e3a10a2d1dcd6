// Package check reads the files of deploy/ with the types and parsers of the programs that they are for, so that a
// misspelt field is found here and not by a cluster that silently leaves it out: Kubernetes manifests by Kubernetes' own
// strict decoder, the Dockerfile by BuildKit's linter, the compose file by Compose's loader, the unit by systemd's parser.
//
// It is a module of its own, so that none of those are among what the product depends on.
package check

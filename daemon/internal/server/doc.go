// Package server is the daemon's face: listeners, the gRPC services with their interceptors, the sessions of Next.js
// processes, and the HTTP endpoints for people and probes.
//
// It translates between the wire (gen) and the cache, and decides nothing about entries.
package server

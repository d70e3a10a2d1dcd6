// Package tag decides whether content is still what its tags say: revalidations, the log they stand in, and the
// manifest that judges an entry by them.
//
// It is pure: no I/O, no clock, no locks. Times are milliseconds since 1970 by the store's clock and are handed in;
// order comes from positions in the log, never from times. A tag is what CDNs call a surrogate key (Fastly) or an xkey
// (Varnish).
package tag

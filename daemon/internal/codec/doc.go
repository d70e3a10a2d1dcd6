// Package codec frames what a daemon keeps in the shared store: one frame is a small header of the caller, stored as it
// is, and one compressed body. A frame says by itself how to read it, so daemons with different settings share a store,
// and a value that was cut off, damaged or written by a newer version is told apart from one that can be served.
//
// What a body consists of is the caller's business: Append takes it in parts and joins them, and Decode returns it in one
// piece; the lengths of the parts belong in the header.
//
// # Which codec
//
// Measured with product-like pages (page_test.go) on two shared cores of an "Intel(R) Xeon(R) Processor", Go 1.26.8,
// best of six, header of 300 bytes included:
//
//	go test -run '^$' -bench 'Append|Decode/' -benchtime 200ms -count 6 -benchmem ./daemon/internal/codec
//
//	          28 KB                              120 KB
//	          smaller   Append     Decode        smaller   Append     Decode
//	none       -1.1 %     2 µs       8 µs         -0.3 %     8 µs      42 µs
//	gzip 1     79.2 %    46 µs      56 µs         77.8 %   311 µs     352 µs
//	gzip 6     81.5 %   104 µs      50 µs         80.3 %   614 µs     329 µs
//	zstd       82.1 %    59 µs      24 µs         85.5 %   252 µs      78 µs
//
// So Zstd is the default: smaller than gzip 6, and reading, which happens more often, takes less than half the time. The
// level is the library's default, since the faster one hardly is, and the better one takes more than half as long again:
//
//	go test -run '^$' -bench ZstdLevel -benchtime 200ms -count 6 ./daemon/internal/codec
//
//	          28 KB              120 KB             600 KB
//	fastest   81.9 %   51 µs     84.1 %   237 µs    83.4 %   1454 µs
//	default   83.2 %   57 µs     85.8 %   254 µs    86.2 %   1566 µs
//	better    83.4 %   87 µs     86.2 %   423 µs    87.0 %   2421 µs
package codec

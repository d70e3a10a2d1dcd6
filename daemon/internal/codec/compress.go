package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// zstdLevel: see the figures in the package comment.
	zstdLevel = zstd.SpeedDefault
	// zstdWindow bounds an encoder's memory: from its first body above 128 KiB on it keeps twice the window, so 3.8 MiB in
	// all rather than the 18 MiB of the library's window of 8 MiB. Bodies up to 1 MiB are compressed the same; one of 2 MiB
	// came out 83.5 % smaller rather than 84.7 %.
	zstdWindow = 1 << 20
	// decodeSlack is spare capacity behind a decoded body, which lets the zstd decoder copy in whole words.
	decodeSlack = 16
	// maxPooledBytes is how much memory for bodies a compressor in the pool keeps.
	maxPooledBytes = 4 << 20
)

// compressor is what one Append needs, pooled: the compressor proper, made when it is first used, and memory.
type compressor struct {
	gzip   *gzip.Writer
	zstd   *zstd.Encoder
	joined []byte // the parts, where they must be in one piece
	packed buffer // the result
}

// buffer is an io.Writer that appends. Unlike a bytes.Buffer it can be lent to what appends by itself.
type buffer struct{ b []byte }

func (b *buffer) Write(p []byte) (int, error) {
	b.b = append(b.b, p...)
	return len(p), nil
}

func (c *Coder) getCompressor() *compressor {
	if w, ok := c.compressors.Get().(*compressor); ok {
		return w
	}
	return new(compressor)
}

func (c *Coder) putCompressor(w *compressor) {
	if cap(w.joined)+cap(w.packed.b) > maxPooledBytes {
		w.joined, w.packed.b = nil, nil
	}
	c.compressors.Put(w)
}

// compress returns the concatenation of parts, which is not empty, compressed with c.codec, which is not None. The result
// belongs to w.
func (c *Coder) compress(w *compressor, parts [][]byte) ([]byte, error) {
	w.packed.b = w.packed.b[:0]
	compress := c.compressZstd
	if c.codec == Gzip {
		compress = c.compressGzip
	}
	err := compress(w, parts)
	return w.packed.b, err
}

func (c *Coder) compressGzip(w *compressor, parts [][]byte) (err error) {
	if w.gzip == nil {
		w.gzip, err = gzip.NewWriterLevel(&w.packed, c.gzipLevel)
	} else {
		w.gzip.Reset(&w.packed)
	}
	for i := 0; i < len(parts) && err == nil; i++ {
		_, err = w.gzip.Write(parts[i])
	}
	if err == nil {
		err = w.gzip.Close()
	}
	return err
}

func (c *Coder) compressZstd(w *compressor, parts [][]byte) (err error) {
	if w.zstd == nil {
		if w.zstd, err = newZstdEncoder(); err != nil {
			return err
		}
	}
	src := parts[0]
	if len(parts) > 1 {
		w.joined = w.joined[:0]
		for _, p := range parts {
			w.joined = append(w.joined, p...)
		}
		src = w.joined
	}
	w.packed.b = w.zstd.EncodeAll(src, w.packed.b)
	return nil
}

// newZstdEncoder returns an encoder for EncodeAll: one at a time, without goroutines. Its concurrency is 1, with a pool
// around it, because an encoder of concurrency n allocates the tables of n (above 1 MiB each) and never returns them.
func newZstdEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderLevel(zstdLevel),
		zstd.WithWindowSize(zstdWindow),
		zstd.WithEncoderCRC(false), // the frame has its own
	)
}

// newZstdDecoder returns a decoder for DecodeAll: as many at a time as there are CPUs, without goroutines. One is enough
// for all, because an idle block decoder is small.
func newZstdDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecodeAllCapLimit(true), // never more than was declared, and allocated
	)
}

// decompress returns the body of f, decoded into dst, which is exactly as long.
func (c *Coder) decompress(dst []byte, f parsed) ([]byte, error) {
	var err error
	switch f.codec {
	case Gzip:
		err = c.decompressGzip(dst, f.body)
	case Zstd:
		// The library is free to decode elsewhere: what counts is what it returns.
		n := len(dst)
		if dst, err = c.zstdDecoder.DecodeAll(f.body, dst[:0]); err == nil && len(dst) != n {
			err = fmt.Errorf("body is %d bytes, declared are %d", len(dst), n)
		}
	default: // None: readable has refused all others
		copy(dst, f.body)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: decompress %s: %w", ErrCorrupt, f.codec, err)
	}
	return dst, nil
}

// gzipReader is a gzip.Reader with its input, and room for a byte that must not come.
type gzipReader struct {
	gzip.Reader
	src  bytes.Reader
	more [1]byte
}

func (c *Coder) decompressGzip(dst, body []byte) error {
	r, ok := c.gzipReaders.Get().(*gzipReader)
	if !ok {
		r = new(gzipReader)
	}
	defer func() {
		r.src.Reset(nil) // the pool must not hold body
		c.gzipReaders.Put(r)
	}()
	r.src.Reset(body)
	if err := r.Reset(&r.src); err != nil {
		return err
	}
	if _, err := io.ReadFull(r, dst); err != nil {
		return err
	}
	// The end must follow: only there does the reader verify its own checksum, and a longer body is a wrong one.
	switch n, err := r.Read(r.more[:]); {
	case n > 0:
		return errors.New("body is longer")
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

package codec

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
)

// The layout of a frame, format 1:
//
//	byte      format
//	byte      codec of the body
//	uvarint   length of the header
//	uvarint   length of the body
//	uvarint   length of the body as stored, that is compressed
//	bytes     header
//	bytes     body as stored
//	4 bytes   CRC-32C of all the above, little endian
//
// Of this, the first byte and the checksum at the end are for ever: by them an old daemon tells a newer format from a
// damaged frame, also when the damage is in the first byte.
const (
	format1   = 1
	crcSize   = 4
	minFrame  = 2 + 3 + crcSize
	maxPrefix = 2 + 3*binary.MaxVarintLen64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Append appends to dst one frame that holds header as it is and the concatenation of parts compressed, and returns the
// extended slice; dst grows at most once. A body that compression would not make smaller is stored as it is. The
// arguments are only read, and must not overlap the spare capacity of dst.
//
// It returns dst as it was, and ErrTooLarge, if the parts together are above Config.MaxDecodedBytes.
func (c *Coder) Append(dst, header []byte, parts ...[]byte) ([]byte, error) {
	size := 0
	for _, p := range parts {
		if len(p) > c.max-size {
			return dst, fmt.Errorf("append frame: body of more than %d bytes: %w", c.max, ErrTooLarge)
		}
		size += len(p)
	}

	if size == 0 || c.codec == None {
		return appendFrame(dst, None, size, header, parts), nil
	}
	w := c.getCompressor()
	defer c.putCompressor(w)
	packed, err := c.compress(w, parts)
	if err != nil {
		return dst, fmt.Errorf("append frame: compress %d bytes as %s: %w", size, c.codec, err)
	}
	if len(packed) >= size {
		return appendFrame(dst, None, size, header, parts), nil
	}
	return appendFrame(dst, c.codec, size, header, [][]byte{packed}), nil
}

// appendFrame lays out a frame. The body is the concatenation of stored, already compressed by method; size is its
// length when decoded.
func appendFrame(dst []byte, method Codec, size int, header []byte, stored [][]byte) []byte {
	storedSize := 0
	for _, p := range stored {
		storedSize += len(p)
	}
	start := len(dst)
	dst = slices.Grow(dst, maxPrefix+len(header)+storedSize+crcSize)
	dst = append(dst, format1, byte(method))
	dst = binary.AppendUvarint(dst, uint64(len(header)))
	dst = binary.AppendUvarint(dst, uint64(size))
	dst = binary.AppendUvarint(dst, uint64(storedSize))
	dst = append(dst, header...)
	for _, p := range stored {
		dst = append(dst, p...)
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// Decode returns the header and the body of a frame, whichever codec it was written with. Neither is nil, both are the
// caller's, and frame may be reused: they share one allocation with each other, but none with frame.
//
// It returns ErrTruncated, ErrCorrupt, ErrTooLarge or a *FormatError, and then no data. The checksum and the declared
// sizes are verified before anything is allocated, and never more than the declared size is decompressed.
func (c *Coder) Decode(frame []byte) (header, body []byte, err error) {
	f, err := parse(frame)
	if err == nil {
		err = f.readable(c.max)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("decode frame of %d bytes: %w", len(frame), err)
	}
	h := len(f.header)
	n := h + int(f.size)
	buf := make([]byte, n, n+decodeSlack)
	copy(buf, f.header)
	if body, err = c.decompress(buf[h:], f); err != nil {
		return nil, nil, fmt.Errorf("decode frame of %d bytes: %w", len(frame), err)
	}
	return buf[:h:h], slices.Clip(body), nil
}

// DecodeHeader returns the header of a whole frame without decompressing the body, also of a body that Decode refuses
// for its codec or its size. It is a copy and never nil. The checksum covers the whole frame and is verified.
//
// It returns ErrTruncated, ErrCorrupt or a *FormatError.
func (c *Coder) DecodeHeader(frame []byte) ([]byte, error) {
	f, err := parse(frame)
	if err != nil {
		return nil, fmt.Errorf("decode header of frame of %d bytes: %w", len(frame), err)
	}
	return append(make([]byte, 0, len(f.header)), f.header...), nil
}

// parsed is a frame taken apart; its slices are parts of the frame.
type parsed struct {
	codec  Codec
	size   uint64 // of the body, decoded; not yet compared with any limit
	header []byte
	body   []byte // as stored
}

// parse takes a frame apart and verifies its checksum. It allocates nothing.
func parse(frame []byte) (parsed, error) {
	if len(frame) < minFrame {
		return parsed{}, ErrTruncated
	}
	end := len(frame) - crcSize
	sound := crc32.Checksum(frame[:end], castagnoli) == binary.LittleEndian.Uint32(frame[end:])
	switch {
	case frame[0] != format1 && sound:
		return parsed{}, &FormatError{Format: frame[0]}
	case frame[0] != format1:
		return parsed{}, fmt.Errorf("not a frame, or its first byte is damaged: %w", ErrCorrupt)
	}

	f := parsed{codec: Codec(frame[1])}
	rest := frame[2:end]
	var headerLen, storedLen uint64
	for _, field := range []*uint64{&headerLen, &f.size, &storedLen} {
		v, n := binary.Uvarint(rest)
		if n <= 0 {
			return parsed{}, unsound(sound, n == 0)
		}
		*field, rest = v, rest[n:]
	}
	have := uint64(len(rest))
	if headerLen > have || storedLen != have-headerLen {
		return parsed{}, unsound(sound, headerLen > have || storedLen > have-headerLen)
	}
	if !sound {
		return parsed{}, fmt.Errorf("checksum does not match: %w", ErrCorrupt)
	}
	f.header, f.body = rest[:headerLen], rest[headerLen:]
	return f, nil
}

// readable says whether this version can decode f to at most limit bytes.
func (f parsed) readable(limit int) error {
	switch {
	case f.codec == Default:
		return fmt.Errorf("no codec: %w", ErrCorrupt)
	case f.codec > Zstd:
		return &FormatError{Format: format1, Codec: f.codec}
	case f.size > uint64(limit):
		return fmt.Errorf("body of %d bytes, limit is %d: %w", f.size, limit, ErrTooLarge)
	case f.codec == None && f.size != uint64(len(f.body)):
		return fmt.Errorf("body of %d bytes, declared are %d: %w", len(f.body), f.size, ErrCorrupt)
	}
	return nil
}

// unsound is the error for a frame whose lengths do not fit: short says that they ask for more than is there. With a
// valid checksum the writer was wrong, and nothing was cut off.
func unsound(sound, short bool) error {
	if short && !sound {
		return ErrTruncated
	}
	return fmt.Errorf("lengths do not fit: %w", ErrCorrupt)
}

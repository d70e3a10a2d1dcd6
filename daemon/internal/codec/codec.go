package codec

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Codec is a compression method, as written in a frame: the numbers are part of the storage format and never change.
type Codec uint8

// The codecs. A frame never holds Default.
const (
	// Default is the zero value: whatever this version thinks best, which is Zstd.
	Default Codec = 0
	// None stores the body as it is.
	None Codec = 1
	// Gzip is RFC 1952.
	Gzip Codec = 2
	// Zstd is RFC 8878.
	Zstd Codec = 3
	// ZstdDict is Zstd with a dictionary. The number is taken, but this version neither writes nor reads it: a storage
	// format is read one release before it is written.
	ZstdDict Codec = 4
)

// Parse returns the codec that a user named: "none", "gzip" or "zstd".
func Parse(name string) (Codec, error) {
	for _, c := range [...]Codec{None, Gzip, Zstd} {
		if name == c.String() {
			return c, nil
		}
	}
	return Default, fmt.Errorf("codec %q: want none, gzip or zstd", name)
}

// String returns the name that Parse takes, or a description of a codec that a user cannot choose.
func (c Codec) String() string {
	switch c {
	case Default:
		return "default"
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Zstd:
		return "zstd"
	case ZstdDict:
		return "zstd-dict"
	default:
		return "codec " + strconv.Itoa(int(c))
	}
}

// Limits of Config.MaxDecodedBytes. Redis takes no value above 512 MiB.
const (
	defaultMaxDecodedBytes = 64 << 20
	maxMaxDecodedBytes     = 512 << 20
)

// Config says how a Coder writes. How it reads depends on MaxDecodedBytes only: every frame names its own codec, so
// daemons with different codecs share one Redis, and changing the codec needs no empty cache.
type Config struct {
	// Codec compresses the bodies that are written. The default is Zstd.
	Codec Codec
	// GzipLevel is 1 (fast) to 9 (small). 0 is 1. Other codecs ignore it.
	GzipLevel int
	// MaxDecodedBytes is the largest body that is written or read, before compression. 0 is 64 MiB; the most is 512 MiB.
	// Lower it only when nothing larger is stored any more: such frames become unreadable (ErrTooLarge).
	MaxDecodedBytes int
}

// Errors of a Coder, wrapped with what was being done.
var (
	// ErrTruncated says that the frame has lost its end.
	ErrTruncated = errors.New("truncated")
	// ErrCorrupt says that the bytes are not what was written, or are no frame at all.
	ErrCorrupt = errors.New("corrupt")
	// ErrTooLarge says that a body is above Config.MaxDecodedBytes. Nothing was allocated for it.
	ErrTooLarge = errors.New("too large")
)

// FormatError says that a frame is sound, but of a kind that this version does not know. It is no damage: the daemon
// that wrote it is newer, as during a rolling upgrade.
type FormatError struct {
	// Format is the frame's format.
	Format uint8
	// Codec is the frame's codec, or Default if the format is unknown and the codec could not be told.
	Codec Codec
}

// Error names what is unknown and what to do about it.
func (e *FormatError) Error() string {
	what := e.Codec.String()
	if e.Format != format1 {
		what = "format " + strconv.Itoa(int(e.Format))
	}
	return what + " was written by a newer isrd; upgrade this daemon or let it expire"
}

// Coder writes and reads frames. It may be used from any number of goroutines and has none of its own; there is nothing
// to close. Its compressors are pooled per Coder, not globally, because they hold channels: a Coder that is used inside
// a testing/synctest bubble must have been made there.
type Coder struct {
	codec     Codec
	gzipLevel int
	max       int

	compressors sync.Pool // of *compressor
	gzipReaders sync.Pool // of *gzipReader
	zstdDecoder *zstd.Decoder
}

// New returns a Coder, or an error that names each field of cfg that is out of range.
func New(cfg Config) (*Coder, error) {
	c := &Coder{codec: cfg.Codec, gzipLevel: cfg.GzipLevel, max: cfg.MaxDecodedBytes}
	if c.codec == Default {
		c.codec = Zstd
	}
	if c.gzipLevel == 0 {
		c.gzipLevel = gzip.BestSpeed
	}
	if c.max == 0 {
		c.max = defaultMaxDecodedBytes
	}

	var errs []error
	if c.codec != None && c.codec != Gzip && c.codec != Zstd {
		errs = append(errs, fmt.Errorf("%s cannot be written: want none, gzip or zstd", c.codec))
	}
	if c.gzipLevel < gzip.BestSpeed || c.gzipLevel > gzip.BestCompression {
		errs = append(errs, fmt.Errorf("gzip level %d: want 1 to 9", cfg.GzipLevel))
	}
	if c.max < 0 || c.max > maxMaxDecodedBytes {
		errs = append(errs, fmt.Errorf("maximum decoded size of %d bytes: want 1 to %d", cfg.MaxDecodedBytes, maxMaxDecodedBytes))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}

	var err error
	if c.zstdDecoder, err = newZstdDecoder(); err != nil {
		return nil, fmt.Errorf("make a zstd decoder: %w", err)
	}
	return c, nil
}

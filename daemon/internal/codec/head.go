package codec

import "encoding/binary"

// Head returns what is there of the header of a frame of which only the beginning is there: all of it, or its beginning.
// Nothing is verified, for the checksum stands at the end of a frame. False: it is no frame that this version can read.
func (*Coder) Head(beginning []byte) ([]byte, bool) {
	if len(beginning) < 2 || beginning[0] != format1 {
		return nil, false
	}
	rest := beginning[2:]
	var headerLen uint64
	for i := range 3 {
		v, n := binary.Uvarint(rest)
		if n <= 0 {
			return nil, false
		}
		if i == 0 {
			headerLen = v
		}
		rest = rest[n:]
	}
	return rest[:min(headerLen, uint64(len(rest)))], true
}

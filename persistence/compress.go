package persistence

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/ferris1/wind/ecs"
	"github.com/klauspost/compress/zstd"
)

// MaxSnapshotBytes is the largest world that a snapshot can hold.
const MaxSnapshotBytes = ecs.MaxSnapshotBytes

// maxWindow is how far back our zstd streams refer. It also bounds the memory that
// a hostile stream can claim before it yields a byte.
const maxWindow = 4 << 20

// encoder is shared: EncodeAll may be called concurrently. It uses the default
// level, since snapshots must not take the tick's cores. Equal bodies compress to
// equal bytes.
var encoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(maxWindow), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
})

var decoders = sync.Pool{New: func() any { return newDecoder() }}

func newDecoder() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
}

// compress appends the zstd frame of b to dst.
func compress(dst, b []byte) []byte { return encoder().EncodeAll(b, dst) }

// decompress returns the size bytes that b unpacks to. It allocates as it
// decompresses, so that a lie in b or in size costs no memory.
func decompress(b []byte, size int) ([]byte, error) {
	d := decoders.Get().(*zstd.Decoder)
	defer decoders.Put(d)
	if err := d.Reset(bytes.NewReader(b)); err != nil {
		return nil, fmt.Errorf("its compressed body: %w", err)
	}
	var out bytes.Buffer
	out.Grow(min(size, 8*len(b)+512))
	n, err := out.ReadFrom(io.LimitReader(d, int64(size)+1))
	_ = d.Reset(nil)
	if err != nil {
		return nil, fmt.Errorf("its compressed body: %w", err)
	}
	if n != int64(size) {
		return nil, fmt.Errorf("its body does not have the declared size of %d bytes", size)
	}
	return out.Bytes(), nil
}

package picture

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"sync"
)

// buffers keeps the encoder's work memory (about 1 MB each) between pictures.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() *png.EncoderBuffer {
	buffer, _ := b.pool.Get().(*png.EncoderBuffer)
	return buffer
}

func (b *buffers) Put(buffer *png.EncoderBuffer) { b.pool.Put(buffer) }

var encoder = png.Encoder{CompressionLevel: png.BestSpeed, BufferPool: &buffers{}}

// Encode writes m as PNG. It stops with the context's error soon after ctx ends, and fails
// besides only for a picture without pixels. It may be called concurrently.
func Encode(ctx context.Context, m image.Image) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &untilDone{ctx: ctx}
	if err := encoder.Encode(w, encodable(m)); err != nil {
		return nil, err
	}
	return w.buffer.Bytes(), nil
}

// untilDone collects bytes as long as its context lives.
type untilDone struct {
	ctx    context.Context // of this one Encode call
	buffer bytes.Buffer
}

func (w *untilDone) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.buffer.Write(p)
}

package flite

import "fmt"

// reader walks WebAssembly's binary format. After the first fault it stands still with err set.
type reader struct {
	data []byte
	at   int
	err  error
}

func (r *reader) more() bool { return r.err == nil && r.at < len(r.data) }

func (r *reader) fail(what string, value any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s %v at %d", errModule, what, value, r.at)
	}
}

func (r *reader) byte() byte {
	b := r.bytes(1)
	if b == nil {
		return 0
	}
	return b[0]
}

// bytes returns the next n, or nil with err set.
func (r *reader) bytes(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.data)-r.at {
		r.fail("cut off,", n)
		return nil
	}
	r.at += n
	return r.data[r.at-n : r.at : r.at]
}

// leb reads an unsigned LEB128 of 32 bits.
func (r *reader) leb() uint32 {
	var value uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		value |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if value > 1<<32-1 {
				r.fail("too large:", value)
			}
			return uint32(value)
		}
	}
	r.fail("overlong number", value)
	return 0
}

// skipLEB passes n integers of up to 64 bits, signed or not.
func (r *reader) skipLEB(n int) {
	for ; n > 0 && r.err == nil; n-- {
		length := 1
		for r.byte() >= 0x80 {
			if length++; length > 10 {
				r.fail("overlong number of bytes", length)
				return
			}
		}
	}
}

const opLoop = 0x03

// instruction passes one instruction with its immediates and returns its opcode
// (core specification 5.4; no vector, thread or exception instructions).
func (r *reader) instruction() byte {
	op := r.byte()
	switch {
	case op >= 0x02 && op <= 0x04: // block, loop, if
		r.skipLEB(1)
	case op <= 0x01, op == 0x05, op == 0x0b, op == 0x0f, op == 0x1a, op == 0x1b, op >= 0x45 && op <= 0xc4, op == 0xd1:
		// nothing follows
	case op == 0x0c, op == 0x0d, op == 0x10, op >= 0x20 && op <= 0x26, op == 0x3f, op == 0x40, op == 0x41, op == 0x42, op == 0xd0, op == 0xd2:
		r.skipLEB(1)
	case op == 0x11, op >= 0x28 && op <= 0x3e: // call_indirect, loads and stores
		r.skipLEB(2)
	case op == 0x0e: // br_table: a vector and a default
		r.skipLEB(r.vector() + 1)
	case op == 0x1c: // select with types
		r.bytes(r.vector())
	case op == 0x43:
		r.bytes(4)
	case op == 0x44:
		r.bytes(8)
	case op == 0xfc:
		r.extended()
	default:
		r.fail("opcode", op)
	}
	return op
}

// vector reads a length that cannot exceed the bytes that are left.
func (r *reader) vector() int {
	n := r.leb()
	if int64(n) > int64(len(r.data)-r.at) {
		r.fail("vector of", n)
		return 0
	}
	return int(n)
}

// extended passes the rest of an instruction that begins with 0xFC.
func (r *reader) extended() {
	switch sub := r.leb(); sub {
	case 0, 1, 2, 3, 4, 5, 6, 7: // saturating truncation
	case 9, 11, 13, 15, 16, 17:
		r.skipLEB(1)
	case 8, 10, 12, 14:
		r.skipLEB(2)
	default:
		r.fail("extended opcode", sub)
	}
}

func appendLEB(out []byte, v uint32) []byte {
	for v >= 0x80 {
		out = append(out, byte(v)|0x80)
		v >>= 7
	}
	return append(out, byte(v))
}

func appendSignedLEB(out []byte, v int32) []byte {
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && b&0x40 == 0) || (v == -1 && b&0x40 != 0) {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

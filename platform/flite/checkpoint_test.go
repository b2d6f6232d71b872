package flite

import (
	"context"
	"errors"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// section wraps a body of fewer than 128 bytes.
func section(id byte, body ...byte) []byte {
	return append([]byte{id, byte(len(body))}, body...)
}

// loopModule turns 1,000 times and returns the count. With it come a name section to drop
// and an exported global whose index must not change.
func loopModule() []byte {
	m := []byte(wasmPreamble)
	m = append(m, section(1, 2, 0x60, 1, 0x7f, 0, 0x60, 0, 1, 0x7f)...)                                 // (i32)->(), ()->(i32)
	m = append(m, section(2, append([]byte{1, 1, 'w', 9}, append([]byte("proc_exit"), 0, 0)...)...)...) // w.proc_exit
	m = append(m, section(3, 1, 1)...)
	m = append(m, section(6, 1, 0x7f, 0, 0x41, 42, 0x0b)...)
	m = append(m, section(7, 2, 3, 'r', 'u', 'n', 0, 1, 1, 'g', 3, 0)...)
	body := []byte{
		1, 1, 0x7f, // one i32 local
		0x03, 0x40, // loop
		0x20, 0, 0x41, 1, 0x6a, 0x22, 0, // local = local + 1
		0x41, 0xe8, 0x07, 0x48, 0x0d, 0, // br_if 0 (local < 1000)
		0x0b, 0x20, 0, 0x0b,
	}
	m = append(m, section(10, append([]byte{1, byte(len(body))}, body...)...)...)
	return append(m, section(0, 4, 'n', 'a', 'm', 'e')...)
}

func TestAddCheckpointsCallsTheHostRegularly(t *testing.T) {
	wasm, err := addCheckpoints(loopModule(), 64, checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	defer func() { _ = r.Close(ctx) }()
	calls := 0
	_, err = r.NewHostModuleBuilder("w").NewFunctionBuilder().WithFunc(func(code uint32) {
		if code != checkpoint {
			t.Errorf("code %#x", code)
		}
		calls++
	}).Export("proc_exit").Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	module, err := r.Instantiate(ctx, wasm)
	if err != nil {
		t.Fatal(err)
	}
	result, err := module.ExportedFunction("run").Call(ctx)
	if err != nil || api.DecodeI32(result[0]) != 1000 {
		t.Errorf("run: %v, %v", result, err)
	}
	if calls != 1000/64 {
		t.Errorf("%d checkpoints", calls)
	}
	if g := module.ExportedGlobal("g").Get(); g != 42 {
		t.Errorf("the exported global is %d", g)
	}
}

func TestAddCheckpointsRefuses(t *testing.T) {
	whole := loopModule()
	code := len(whole) - len(section(0, 4, 'n', 'a', 'm', 'e'))
	for name, wasm := range map[string][]byte{
		"nothing":                 nil,
		"another file":            []byte("RIFF....WAVE"),
		"a section cut off":       whole[:code-3],
		"a program without exits": append([]byte(wasmPreamble), section(2, 0)...),
		"code without globals":    append([]byte(wasmPreamble), section(10, 0)...),
		"an unknown instruction":  replaceByte(whole, code-3, 0xfd),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := addCheckpoints(wasm, 1, 1); !errors.Is(err, errModule) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func replaceByte(data []byte, at int, b byte) []byte {
	changed := append([]byte(nil), data...)
	changed[at] = b
	return changed
}

func FuzzAddCheckpoints(f *testing.F) {
	f.Add(loopModule())
	f.Add([]byte(wasmPreamble))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		out, err := addCheckpoints(wasm, 64, checkpoint)
		if err != nil {
			return
		}
		if _, err := addCheckpoints(out, 64, checkpoint); err != nil {
			t.Errorf("cannot read what it wrote: %v", err)
		}
	})
}

func TestSignedLEB(t *testing.T) {
	for v, want := range map[int32]string{0: "\x00", 63: "\x3f", 64: "\xc0\x00", -1: "\x7f", -64: "\x40", -65: "\xbf\x7f", 1000: "\xe8\x07"} {
		if got := appendSignedLEB(nil, v); string(got) != want {
			t.Errorf("%d: % x, want % x", v, got, want)
		}
	}
}

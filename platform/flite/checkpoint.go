package flite

import (
	"errors"
	"fmt"
)

// WebAssembly section ids used here (core specification 5.5.2).
const (
	sectionCustom = 0
	sectionImport = 2
	sectionGlobal = 6
	sectionCode   = 10
)

const wasmPreamble = "\x00asm\x01\x00\x00\x00"

var errModule = errors.New("flite: malformed or unsupported module")

// addCheckpoints rewrites a WASI module so that it calls proc_exit(code) every `every` turns of
// its loops, together. The host's proc_exit returns from that call to let the program go on.
//
// It is what makes a run stoppable. It also keeps the process responsive: Go cannot interrupt machine code
// it did not compile, so without a call now and then a garbage collection, and every goroutine with it,
// would wait for the end of a sentence.
//
// The code added at the top of each loop, with a new global $left:
//
//	$left = $left - 1
//	if $left == 0 { $left = every; proc_exit(code) }
//
// Custom sections (names, debug information) are left out: their offsets would be wrong.
func addCheckpoints(wasm []byte, every, code int32) ([]byte, error) {
	if len(wasm) < len(wasmPreamble) || string(wasm[:len(wasmPreamble)]) != wasmPreamble {
		return nil, fmt.Errorf("%w: no preamble", errModule)
	}
	in := &reader{data: wasm, at: len(wasmPreamble)}
	out := append(make([]byte, 0, len(wasm)+len(wasm)/64), wasmPreamble...)
	var imports importCount
	var guard []byte
	for in.more() {
		id := in.byte()
		body := in.bytes(int(in.leb()))
		if in.err != nil {
			return nil, in.err
		}
		var err error
		switch id {
		case sectionCustom:
			continue
		case sectionImport:
			imports, err = countImports(body)
		case sectionGlobal:
			var global uint32
			body, global, err = addGlobal(body, every)
			guard = guardCode(imports.globals+global, imports.procExit, every, code)
		case sectionCode:
			body, err = guardLoops(body, guard)
		}
		if err != nil {
			return nil, err
		}
		out = append(appendLEB(append(out, id), uint32(len(body))), body...)
	}
	return out, in.err
}

// importCount tells what the import section brings into the index spaces.
type importCount struct {
	functions, globals uint32
	procExit           uint32 // function index
	hasProcExit        bool
}

func countImports(body []byte) (importCount, error) {
	in := &reader{data: body}
	var c importCount
	for n := in.leb(); n > 0 && in.err == nil; n-- {
		in.bytes(int(in.leb())) // module name
		name := in.bytes(int(in.leb()))
		switch kind := in.byte(); kind {
		case 0:
			in.leb()
			if string(name) == "proc_exit" {
				c.procExit, c.hasProcExit = c.functions, true
			}
			c.functions++
		case 3:
			in.bytes(2)
			c.globals++
		default: // a program brings its own memory and table
			return c, fmt.Errorf("%w: import kind %d", errModule, kind)
		}
	}
	if in.err == nil && !c.hasProcExit {
		return c, fmt.Errorf("%w: proc_exit is not imported", errModule)
	}
	return c, in.err
}

// addGlobal appends a mutable i32 and returns its index among the module's own globals.
func addGlobal(body []byte, value int32) ([]byte, uint32, error) {
	in := &reader{data: body}
	n := in.leb()
	if in.err != nil {
		return nil, 0, in.err
	}
	out := append(appendLEB(nil, n+1), body[in.at:]...)
	out = append(out, 0x7f, 1, 0x41) // i32, mutable, i32.const
	return append(appendSignedLEB(out, value), 0x0b), n, nil
}

// guardCode is what goes to the top of each loop.
func guardCode(global, procExit uint32, every, code int32) []byte {
	g := appendLEB([]byte{0x23}, global)   // global.get
	g = append(g, 0x41, 1, 0x6b)           // i32.const 1, i32.sub
	g = appendLEB(append(g, 0x24), global) // global.set
	g = appendLEB(append(g, 0x23), global) // global.get
	g = append(g, 0x45, 0x04, 0x40)        // i32.eqz, if
	g = appendSignedLEB(append(g, 0x41), every)
	g = appendLEB(append(g, 0x24), global)
	g = appendSignedLEB(append(g, 0x41), code)
	g = appendLEB(append(g, 0x10), procExit) // call
	return append(g, 0x0b)                   // end
}

func guardLoops(body, guard []byte) ([]byte, error) {
	if guard == nil {
		return nil, fmt.Errorf("%w: no globals", errModule)
	}
	in := &reader{data: body}
	count := in.leb()
	out := appendLEB(make([]byte, 0, 2*len(body)), count)
	for ; count > 0 && in.err == nil; count-- {
		function, err := guardFunction(in.bytes(int(in.leb())), guard)
		if err != nil {
			return nil, err
		}
		out = append(appendLEB(out, uint32(len(function))), function...)
	}
	return out, in.err
}

func guardFunction(body, guard []byte) ([]byte, error) {
	in := &reader{data: body}
	for n := in.leb(); n > 0 && in.err == nil; n-- { // local declarations
		in.leb()
		in.byte()
	}
	out := append(make([]byte, 0, 2*len(body)), body[:in.at]...)
	for in.more() {
		start := in.at
		op := in.instruction()
		out = append(out, body[start:in.at]...)
		if op == opLoop {
			out = append(out, guard...)
		}
	}
	return out, in.err
}

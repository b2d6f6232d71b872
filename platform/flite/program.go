package flite

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental/sysfs"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

const (
	// memoryPages of 64 KiB bound one synthesis to 192 MiB. The voices' data take 17 MiB of it;
	// prepareText keeps sentences short enough for the rest to be ample.
	memoryPages = 3072
	// loopsPerCheck lets a check come every few milliseconds, at no measurable cost.
	loopsPerCheck = 1 << 20
	// checkpoint is the exit code that means "go on unless cancelled". Programs exit with 0…255.
	checkpoint = 0x1f117e
)

// program is the compiled module, ready for any number of runs at once.
type program struct {
	runtime wazero.Runtime
	cache   wazero.CompilationCache // nil without a cache directory
	module  wazero.CompiledModule
}

// load compiles the module, or takes its machine code from cacheDir. A cache that cannot be
// used costs time only, so it is no error.
func load(ctx context.Context, cacheDir string) (*program, error) {
	wasm, err := readModule()
	if err != nil {
		return nil, err
	}
	wasm, err = addCheckpoints(wasm, loopsPerCheck, checkpoint)
	if err != nil {
		return nil, err
	}
	if cacheDir != "" {
		if prog, err := compileCached(ctx, wasm, cacheDir); err == nil {
			return prog, nil
		}
	}
	return compile(ctx, wasm, nil)
}

func compileCached(ctx context.Context, wasm []byte, dir string) (*program, error) {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, err
	}
	prog, err := compile(ctx, wasm, cache)
	if err != nil {
		return nil, errors.Join(err, cache.Close(ctx))
	}
	return prog, nil
}

// compile does not use wazero's WithCloseOnContextDone: it leaves machine code at every turn of
// every loop, which makes speech eight times slower. The checkpoints do its work.
func compile(ctx context.Context, wasm []byte, cache wazero.CompilationCache) (*program, error) {
	config := wazero.NewRuntimeConfig().WithMemoryLimitPages(memoryPages).WithDebugInfoEnabled(false)
	if cache != nil {
		config = config.WithCompilationCache(cache)
	}
	prog := &program{runtime: wazero.NewRuntimeWithConfig(ctx, config), cache: cache}
	host := prog.runtime.NewHostModuleBuilder(wasi_snapshot_preview1.ModuleName)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(host)
	host.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(exit), []api.ValueType{api.ValueTypeI32}, nil).Export("proc_exit")
	if _, err := host.Instantiate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("flite: load: %w", err), prog.runtime.Close(ctx))
	}
	module, err := prog.runtime.CompileModule(ctx, wasm)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("flite: compile: %w", err), prog.runtime.Close(ctx))
	}
	prog.module = module
	return prog, nil
}

// exit stands in for WASI's proc_exit. It is called at checkpoints, too, where it returns
// unless the run was cancelled; the panic unwinds the program and is what wazero expects.
func exit(ctx context.Context, module api.Module, stack []uint64) {
	code := api.DecodeU32(stack[0])
	if code == checkpoint {
		if ctx.Err() == nil {
			return
		}
		code = sys.ExitCodeContextCanceled
	}
	_ = module.CloseWithExitCode(ctx, code) // frees the memory; the panic tells the caller
	panic(sys.NewExitError(code))
}

// request is one run of the program.
type request struct {
	text    string // prepared: printable ASCII and newlines
	voice   string
	stretch float64 // of durations: above 1 is slower
}

// speak runs the program once and returns the WAV it wrote.
func (p *program) speak(ctx context.Context, r request) ([]byte, error) {
	disk := newMemoryDisk([]byte(r.text), MaxAudio)
	config := wazero.NewModuleConfig().
		WithName(""). // anonymous: any number at once
		WithArgs("flite", "-voice", r.voice,
			"--setf", "duration_stretch="+strconv.FormatFloat(r.stretch, 'f', 4, 64),
			"-f", "/"+textName, "-o", "/"+soundName).
		WithFSConfig(wazero.NewFSConfig().(sysfs.FSConfig).WithSysFSMount(disk, "/"))
	instance, err := p.runtime.InstantiateModule(ctx, p.module, config)
	if err == nil {
		err = instance.Close(ctx)
	}
	var ended *sys.ExitError
	if errors.As(err, &ended) && ended.ExitCode() == 0 {
		err = nil
	}
	if disk.full() {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrAudioTooLong, MaxAudio)
	}
	if err != nil {
		return nil, fmt.Errorf("flite: speak: %w", err)
	}
	return disk.sound.content, nil
}

func (p *program) close() {
	ctx := context.Background()
	_ = p.runtime.Close(ctx) // frees memory; nothing to report to anyone
	if p.cache != nil {
		_ = p.cache.Close(ctx)
	}
}

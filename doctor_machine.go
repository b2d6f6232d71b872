package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"llmhist/modules/auth"
	"llmhist/platform/datadir"
)

func (e *examination) checkDataDirectory() finding {
	const name = "data directory"
	dir := e.cfg.Data.Dir
	if err := datadir.Create(dir); err != nil {
		return failed(areaDisk, name, oneLine(err), "Make it writable for this user, or set DATA_DIR.")
	}
	info, err := os.Stat(dir)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		return warned(areaDisk, name, dir+" can be read by other users of this machine", "chmod 700 "+dir)
	}
	return fine(areaDisk, name, dir+" is writable")
}

// How much free space is little, and too little to go on.
const (
	lowDisk  = 1 << 30
	fullDisk = 100 << 20
)

func (e *examination) checkDisk(context.Context) []finding {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(e.cfg.Data.Dir, &stat); err != nil {
		return []finding{skipped(areaDisk, "free space", "it is not known: "+oneLine(err))}
	}
	return []finding{judgeSpace(stat.Bavail * uint64(stat.Bsize))}
}

func judgeSpace(free uint64) finding {
	const name, action = "free space", "Free some space, or set DATA_DIR to a larger disk: when it is full, new requests are refused with 507."
	detail := fmt.Sprintf("%.1f GiB free in the data directory", float64(free)/(1<<30))
	if free < lowDisk {
		detail = fmt.Sprintf("%d MiB free in the data directory", free>>20)
	}
	switch {
	case free < fullDisk:
		return failed(areaDisk, name, detail, action)
	case free < lowDisk:
		return warned(areaDisk, name, detail, action)
	default:
		return fine(areaDisk, name, detail)
	}
}

// checkPort tries to listen, and finds out who does when it cannot.
func (e *examination) checkPort(ctx context.Context) []finding {
	if e.server != nil {
		return []finding{fine(areaPort, "listen", "this server listens on "+e.server.listener.Addr().String())}
	}
	held := heldByServer(e.cfg.Data.Dir)
	if e.cfg.Port == 0 {
		return []finding{fine(areaPort, "listen", "PORT is 0: any port that is free")}
	}
	address := net.JoinHostPort(e.cfg.Host, strconv.Itoa(e.cfg.Port))
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", address)
	if err == nil {
		_ = listener.Close()
		if held {
			return []finding{fine(areaPort, "listen", address+" is free: the llmhist that serves from this data directory listens elsewhere")}
		}
		return []finding{fine(areaPort, "listen", address+" is free")}
	}
	return []finding{judgeListen(address, listenReason(err), held, versionAt(ctx, localURL(e.cfg)))}
}

// judgeListen says why an address cannot be listened on: held is whether an
// llmhist serves from this data directory, running the version of the one that
// answers there, "" for none.
func judgeListen(address string, reason error, held bool, running string) finding {
	const action = "Change HOST or PORT, or stop what uses it."
	switch {
	case running != "" && held:
		return fine(areaPort, "listen", fmt.Sprintf("llmhist %s serves from this data directory on %s", running, address))
	case running != "":
		return failed(areaPort, "listen", fmt.Sprintf("another llmhist (version %s), with another data directory, listens on %s", running, address),
			"Change HOST or PORT, or set DATA_DIR to that of the running one.")
	default:
		return failed(areaPort, "listen", fmt.Sprintf("cannot listen on %s: %v", address, reason), action)
	}
}

func heldByServer(dir string) bool {
	lock, err := datadir.Acquire(dir)
	if err == nil {
		_ = lock.Release()
	}
	return errors.Is(err, datadir.ErrInUse)
}

// versionAt returns the version of the llmhist that answers at an address of
// this machine, or "" when none does.
func versionAt(ctx context.Context, base string) string {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/healthz", nil)
	if err != nil {
		return ""
	}
	transport := &http.Transport{} // no proxy: the address is of this machine
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	var state struct{ Status, Version string }
	if json.NewDecoder(io.LimitReader(response.Body, 4<<10)).Decode(&state) != nil || state.Status != "ok" || len(state.Version) > 64 {
		return ""
	}
	return strings.Trim(strconv.QuoteToASCII(state.Version), `"`) // it may be another program's words
}

func (e *examination) checkKey(context.Context) []finding {
	const name = "signing key"
	file, err := auth.InspectKey(e.cfg.AuthConfig(), e.cfg.Data.Dir)
	switch {
	case err != nil && file.Setting == "" && e.cfg.JWT.PublicKeyPath == "":
		return []finding{failed(areaKey, name, oneLine(err), "Restore the file from a backup, or set JWT_PRIVATE_KEY_PATH to another RSA key of 2048 bits or more.")}
	case err != nil:
		return []finding{failed(areaKey, name, oneLine(err), "Correct JWT_PRIVATE_KEY_PATH or JWT_PUBLIC_KEY_PATH: an RSA key of 2048 bits or more in PEM form.")}
	case file.Missing:
		return []finding{fine(areaKey, name, "made at the first start, "+file.Path)}
	case file.Mode&0o077 != 0:
		return []finding{warned(areaKey, name, fmt.Sprintf("%s has mode %04o: other users of this machine can read it", file.Path, file.Mode), "chmod 600 "+file.Path)}
	default:
		return []finding{fine(areaKey, name, fmt.Sprintf("RSA-%d, mode %04o, %s", file.Bits, file.Mode, file.Path))}
	}
}

package crash

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Engine is one of the larger engines, on a fixed port with a directory that
// survives it.
type Engine struct {
	Name  string // "postgres", "s3", "mongo" or "redis"
	start func() error
	kill  func() error
	stop  func() error
}

// Start starts the engine and returns when it takes connections.
func (e *Engine) Start() error { return e.start() }

// Kill ends the engine as a crash would: SIGKILL, or pg_ctl -m immediate.
func (e *Engine) Kill() error { return e.kill() }

// Stop ends the engine for good.
func (e *Engine) Stop() error { return e.stop() }

// Binaries says where the programs of the engines are. tools/with-servers.sh
// exports it.
type Binaries struct{ PostgresBin, S3, Mongo, Redis string }

// BinariesFromEnv reads TEST_POSTGRES_BIN, TEST_S3_SERVER, TEST_MONGO_SERVER and
// TEST_REDIS_SERVER. The error names those that are not set.
func BinariesFromEnv() (Binaries, error) {
	var b Binaries
	var missing []error
	for name, value := range map[string]*string{
		"TEST_POSTGRES_BIN": &b.PostgresBin, "TEST_S3_SERVER": &b.S3, "TEST_MONGO_SERVER": &b.Mongo, "TEST_REDIS_SERVER": &b.Redis,
	} {
		if *value = os.Getenv(name); *value == "" {
			missing = append(missing, errors.New(name+" is not set"))
		}
	}
	return b, errors.Join(missing...)
}

// Larger is PostgreSQL, a server of MongoDB's protocol, S3 and Redis, and how
// the product is pointed at them.
type Larger struct {
	Engines []*Engine
	Env     []string
	Buckets string // the directory whose children are the buckets
}

const s3Access, s3Secret = "crash-access", "crash-secret-of-this-run"

// OpenLarger makes the engines below dir and starts them. What they acknowledge
// outlives a kill: PostgreSQL has fsync on; the documents are in SQLite with a
// write-ahead log, where a commit is in a file before it is answered
// (synchronous=normal could lose it to a power cut, never to a kill); an object is
// in its file. Redis keeps nothing: the product must need nothing of it. Close
// them.
func OpenLarger(dir string, b Binaries) (*Larger, error) {
	if err := os.Chmod(dir, 0o711); err != nil { // PostgreSQL runs as another user
		return nil, err
	}
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	objects, documents := filepath.Join(dir, "s3"), filepath.Join(dir, "mongo")
	for _, sub := range []string{objects, documents} {
		if err := os.Mkdir(sub, 0o700); err != nil {
			return nil, err
		}
	}
	postgres, err := newPostgres(dir, b.PostgresBin, ports[0])
	if err != nil {
		return nil, err
	}
	address := func(i int) string { return "127.0.0.1:" + strconv.Itoa(ports[i]) }
	l := &Larger{Buckets: objects, Engines: []*Engine{
		postgres,
		newServer("s3", address(1), []string{"ROOT_ACCESS_KEY=" + s3Access, "ROOT_SECRET_KEY=" + s3Secret},
			b.S3, "--quiet", "--keep-alive", "--port", address(1), "posix", objects),
		newServer("mongo", address(2), nil, b.Mongo, "-listen", address(2), "-dir", documents),
		newServer("redis", address(3), nil, b.Redis, "--port", strconv.Itoa(ports[3]), "--bind", "127.0.0.1",
			"--save", "", "--appendonly", "no", "--dir", dir),
	}, Env: []string{
		"DATABASE_URL=postgres://postgres@" + address(0) + "/postgres?sslmode=disable",
		"S3_ENDPOINT=http://" + address(1), "S3_ACCESS_KEY=" + s3Access, "S3_SECRET_KEY=" + s3Secret,
		"MONGO_URI=mongodb://" + address(2) + "/", "MONGO_DB_NAME=crash", "REDIS_URL=redis://" + address(3),
	}}
	for _, engine := range l.Engines {
		if err := engine.Start(); err != nil {
			return nil, errors.Join(fmt.Errorf("start %s: %w", engine.Name, err), l.Close())
		}
	}
	return l, nil
}

// Close stops the engines.
func (l *Larger) Close() error {
	var errs []error
	for _, engine := range l.Engines {
		errs = append(errs, engine.Stop())
	}
	return errors.Join(errs...)
}

// Find returns the engine of that name, or nil.
func (l *Larger) Find(name string) *Engine {
	for _, engine := range l.Engines {
		if engine.Name == name {
			return engine
		}
	}
	return nil
}

func freePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = listener.Close() }() // all at the end, so that no two are the same
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// newPostgres makes a cluster with fsync on.
func newPostgres(dir, bin string, port int) (*Engine, error) {
	data := filepath.Join(dir, "postgres")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	var owner *syscall.Credential // PostgreSQL refuses to run as root
	if os.Getuid() == 0 {
		found, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(found.Uid)
		gid, _ := strconv.Atoi(found.Gid)
		if err := os.Chown(data, uid, gid); err != nil {
			return nil, err
		}
		owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	run := func(name string, args ...string) error {
		command := exec.Command(filepath.Join(bin, name), args...)
		command.Dir, command.SysProcAttr = data, &syscall.SysProcAttr{Credential: owner}
		output, err := os.CreateTemp(dir, "log-*") // no pipe: the server would keep it open
		if err != nil {
			return err
		}
		defer func() { _ = output.Close(); _ = os.Remove(output.Name()) }()
		command.Stdout, command.Stderr = output, output
		if err := command.Run(); err != nil {
			said, _ := os.ReadFile(output.Name())
			return fmt.Errorf("%s: %w: %s", name, err, said)
		}
		return nil
	}
	cluster := filepath.Join(data, "cluster")
	if err := run("initdb", "-D", cluster, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"); err != nil {
		return nil, err
	}
	options := fmt.Sprintf("-p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories=%s -c fsync=on", port, data)
	return &Engine{
		Name: "postgres",
		start: func() error {
			return run("pg_ctl", "-D", cluster, "-w", "-l", filepath.Join(data, "log"), "-o", options, "start")
		},
		kill: func() error { return run("pg_ctl", "-D", cluster, "-m", "immediate", "stop") },
		stop: func() error {
			if _, err := os.Stat(filepath.Join(cluster, "postmaster.pid")); err != nil {
				return nil // it does not run
			}
			return run("pg_ctl", "-D", cluster, "-m", "immediate", "stop")
		},
	}, nil
}

// newServer is an engine that is one process.
func newServer(name, address string, env []string, program string, args ...string) *Engine {
	var command *exec.Cmd
	end := func() error {
		if command == nil {
			return nil
		}
		_ = command.Process.Kill()
		_ = command.Wait()
		command = nil
		return nil
	}
	start := func() error {
		out := &tail{}
		command = exec.Command(program, args...)
		command.Env = append(os.Environ(), env...)
		command.Stdout, command.Stderr = out, out
		command.SysProcAttr = child()
		if err := command.Start(); err != nil {
			command = nil
			return err
		}
		if err := reachable(address); err != nil {
			return errors.Join(err, end(), errors.New(out.String()))
		}
		return nil
	}
	return &Engine{Name: name, start: start, kill: end, stop: end}
}

// reachable waits until somebody listens.
func reachable(address string) error {
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("nobody listens on %s: %w", address, err)
		}
	}
}

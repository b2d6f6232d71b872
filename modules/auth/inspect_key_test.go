package auth

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheSigningKeyIsInspectedWithoutMakingOne(t *testing.T) {
	dir := t.TempDir()
	file, err := InspectKey(Config{}, dir)
	if err != nil || !file.Missing || file.Path != filepath.Join(dir, privateKeyFile) {
		t.Errorf("%+v %v", file, err)
	}
	if _, err := os.Stat(file.Path); err == nil {
		t.Error("a key was made")
	}
	if _, err := makePrivateKey(file.Path); err != nil {
		t.Fatal(err)
	}
	if file, err = InspectKey(Config{Passphrase: "of another file"}, dir); err != nil || file.Missing || file.Mode != 0o600 || file.Bits != newKeyBits {
		t.Errorf("%+v %v", file, err)
	}
	if err := os.Chmod(file.Path, 0o644); err != nil { //nolint:gosec // what the test is about
		t.Fatal(err)
	}
	if file, err = InspectKey(Config{}, dir); err != nil || file.Mode != 0o644 {
		t.Errorf("%+v %v", file, err)
	}
}

func TestAKeyThatCannotSignNamesItsSetting(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "none.pem")
	if file, err := InspectKey(Config{PrivateKeyPath: missing}, dir); err == nil || !strings.Contains(err.Error(), "JWT_PRIVATE_KEY_PATH "+missing) || file.Setting == "" {
		t.Errorf("%+v %v", file, err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "small.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(small)})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := InspectKey(Config{PrivateKeyPath: path}, dir); err == nil || !strings.Contains(err.Error(), "1024 bits") {
		t.Error(err)
	}
}

package auth

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"llmhist/platform/logging"
	"llmhist/platform/testkit"
)

func TestTheSigningKeyIsMadeOnce(t *testing.T) {
	directory := t.TempDir()
	first, err := openSigningKeys(t.Context(), DefaultConfig(), directory, testkit.Logger())
	if err != nil {
		t.Fatal(err)
	}
	if bits := first.private.N.BitLen(); bits != newKeyBits {
		t.Errorf("%d bits", bits)
	}
	info, err := os.Stat(filepath.Join(directory, privateKeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	second, err := openSigningKeys(t.Context(), DefaultConfig(), directory, testkit.Logger())
	if err != nil || second.kid != first.kid {
		t.Fatalf("another key: %v", err)
	}
	if entries, err := os.ReadDir(directory); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

func TestPrivateKeysOfOperators(t *testing.T) {
	const wrong = "JWT_PRIVATE_KEY_PASSPHRASE is wrong"
	for name, test := range map[string]struct {
		file       string
		passphrase logging.Secret
		fault      string
	}{
		"PKCS#8":                            {"plain.pem", "", ""},
		"PKCS#1":                            {"pkcs1.pem", "", ""},
		"plain, with a needless passphrase": {"plain.pem", "sesame", ""},
		"old encrypted PEM":                 {"legacy_aes256.pem", "sesame", ""},
		"PBES2 with AES-256 and SHA-256":    {"pkcs8_aes256.pem", "sesame", ""},
		"PBES2 with AES-128 and SHA-1":      {"pkcs8_aes128_sha1.pem", "sesame", ""},
		"old encrypted PEM, wrong word":     {"legacy_aes256.pem", "simsim", wrong},
		"PBES2, wrong word":                 {"pkcs8_aes256.pem", "simsim", wrong},
		"encrypted, no word":                {"pkcs8_aes256.pem", "", "is encrypted; set JWT_PRIVATE_KEY_PASSPHRASE"},
		"old encrypted PEM, no word":        {"legacy_aes256.pem", "", "is encrypted; set JWT_PRIVATE_KEY_PASSPHRASE"},
		"PBES2 with DES":                    {"pkcs8_des3.pem", "sesame", "not supported; use PKCS#8"},
		"PBES2 with scrypt":                 {"pkcs8_scrypt.pem", "sesame", "not supported; use PKCS#8"},
		"1024 bits":                         {"small.pem", "", "1024 bits; use 2048 to 8192"},
		"an Ed25519 key":                    {"ed25519.pem", "", "an RSA key is needed"},
		"a public key":                      {"public.pem", "", "no RSA private key"},
		"a file that is no PEM":             {"README", "", "no RSA private key"},
		"a directory":                       {".", "", "is not a key file"},
		"a file that is not there":          {"missing.pem", "", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.PrivateKeyPath, cfg.Passphrase = filepath.Join("testdata", test.file), test.passphrase
			keys, err := openSigningKeys(t.Context(), cfg, t.TempDir(), testkit.Logger())
			if test.fault == "" {
				if err != nil || keys.private.Validate() != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.fault) {
				t.Fatalf("got %v, want %q", err, test.fault)
			}
			text := err.Error()
			if !strings.HasPrefix(text, "JWT_PRIVATE_KEY_PATH testdata") || strings.Contains(text, "\n") || strings.Contains(text, "simsim") {
				t.Errorf("not one clear line: %q", text)
			}
		})
	}
}

func TestPublicKeysOfOperators(t *testing.T) {
	private := filepath.Join("testdata", "plain.pem")
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, test := range map[string]struct {
		content []byte
		keys    int
		fault   string
	}{
		"the matching key":         {read("public.pem"), 1, ""},
		"and one of before":        {append(publicPEM(t), read("public.pem")...), 2, ""},
		"one of another pair":      {publicPEM(t), 0, "no key that belongs to the private key"},
		"a private key":            {read("plain.pem"), 0, "where a public key is expected"},
		"nothing":                  {nil, 0, "no RSA public key"},
		"something that is no DER": {[]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), 0, "no readable public key"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "public.pem")
			if err := os.WriteFile(path, test.content, 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := DefaultConfig()
			cfg.PrivateKeyPath, cfg.PublicKeyPath = private, path
			keys, err := openSigningKeys(t.Context(), cfg, t.TempDir(), testkit.Logger())
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) || !strings.HasPrefix(err.Error(), "JWT_PUBLIC_KEY_PATH") {
					t.Fatalf("got %v, want %q", err, test.fault)
				}
				return
			}
			if err != nil || len(keys.jwks()) != test.keys || keys.jwks()[0].KeyID != keys.kid {
				t.Fatalf("got %v %v", keys, err)
			}
		})
	}
}

func TestAReadableKeyFileIsWarnedAbout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pemOf(t, testKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o644: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		cfg := DefaultConfig()
		cfg.PrivateKeyPath = path
		if _, err := openSigningKeys(t.Context(), cfg, t.TempDir(), slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), "readable by others"); got != want {
			t.Errorf("mode %o: warned %v\n%s", mode, got, log.String())
		}
	}
}

// TestThumbprint uses the example of RFC 7638 section 3.1.
func TestThumbprint(t *testing.T) {
	const modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs" +
		"tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI" +
		"SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	if got := thumbprint(rsaKey(t, modulus)); got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("got %s", got)
	}
}

func TestTheConfigurationIsChecked(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	err := Config{RefreshTokenLife: -1, PublicKeyPath: "x"}.Validate()
	for _, name := range []string{"JWT_EXPIRES_IN", "JWT_REFRESH_EXPIRES_IN", "JWT_ISSUER", "JWT_AUDIENCE", "JWT_PUBLIC_KEY_PATH"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
}

func FuzzEncryptedKey(f *testing.F) {
	for _, name := range []string{"plain.pem", "pkcs8_aes256.pem", "pkcs8_aes128_sha1.pem", "pkcs8_des3.pem", "pkcs8_scrypt.pem"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		block, _ := pem.Decode(data)
		f.Add(block.Bytes, "sesame")
	}
	f.Fuzz(func(t *testing.T, der []byte, passphrase string) {
		envelope, err := parseEnvelope(der)
		if err != nil {
			return
		}
		if envelope.iterations < 1 || envelope.iterations > maxKeyIterations {
			t.Fatalf("%d iterations", envelope.iterations)
		}
		envelope.iterations = 1 // the work is bounded above; here it is the form that matters
		if plain, err := envelope.open(passphrase); err == nil && len(plain) >= len(envelope.data) {
			t.Fatal("no padding was removed")
		}
	})
}

func publicPEM(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(testKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func rsaKey(t testing.TB, modulus string) *rsa.PublicKey {
	t.Helper()
	n, err := base64.RawURLEncoding.DecodeString(modulus)
	if err != nil {
		t.Fatal(err)
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}
}

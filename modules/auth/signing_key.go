package auth

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"sort"

	"llmhist/platform/logging"
)

const (
	privateKeyFile = "jwt_private.pem"
	newKeyBits     = 3072 // 128-bit strength, NIST SP 800-57 part 1
	minKeyBits     = 2048 // RFC 7518 section 3.3
	maxKeyBits     = 8192
	maxKeyFile     = 64 << 10
)

// signingKeys are the private key that signs access tokens and the public keys
// that are trusted: its own, and further ones from before a rotation.
type signingKeys struct {
	private *rsa.PrivateKey
	kid     string
	public  map[string]*rsa.PublicKey // by key id
}

// openSigningKeys loads the configured key pair, or the one in the data
// directory, which it makes the first time. Errors name the setting and the
// file and fit one line.
func openSigningKeys(ctx context.Context, cfg Config, dataDir string, logger *slog.Logger) (*signingKeys, error) {
	private, err := openPrivateKey(ctx, cfg, dataDir, logger)
	if err != nil {
		return nil, err
	}
	return trustedKeys(cfg, private)
}

// trustedKeys adds the configured public keys to the private one.
func trustedKeys(cfg Config, private *rsa.PrivateKey) (*signingKeys, error) {
	keys := &signingKeys{private: private, kid: thumbprint(&private.PublicKey), public: map[string]*rsa.PublicKey{}}
	keys.public[keys.kid] = &private.PublicKey
	if cfg.PublicKeyPath == "" {
		return keys, nil
	}
	if err := keys.addPublicKeys(cfg.PublicKeyPath); err != nil {
		return nil, fmt.Errorf("JWT_PUBLIC_KEY_PATH %s: %w", cfg.PublicKeyPath, err)
	}
	return keys, nil
}

func openPrivateKey(ctx context.Context, cfg Config, dataDir string, logger *slog.Logger) (*rsa.PrivateKey, error) {
	if cfg.PrivateKeyPath != "" {
		key, err := readPrivateKey(ctx, cfg.PrivateKeyPath, cfg.Passphrase, logger)
		if err != nil {
			return nil, fmt.Errorf("JWT_PRIVATE_KEY_PATH %s: %w", cfg.PrivateKeyPath, err)
		}
		return key, nil
	}
	path := filepath.Join(dataDir, privateKeyFile)
	key, err := readPrivateKey(ctx, path, "", logger)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makePrivateKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", path, err)
	}
	return key, nil
}

func readPrivateKey(ctx context.Context, path string, passphrase logging.Secret, logger *slog.Logger) (*rsa.PrivateKey, error) {
	key, mode, err := loadPrivateKey(path, passphrase)
	if err != nil {
		return nil, err
	}
	if mode.Perm()&0o077 != 0 {
		logger.WarnContext(ctx, "signing key is readable by others", "file", path, "mode", fmt.Sprintf("%04o", mode.Perm()), "fix", "chmod 600")
	}
	return key, nil
}

// loadPrivateKey returns a key of a size that may sign, and the mode of its
// file.
func loadPrivateKey(path string, passphrase logging.Secret) (*rsa.PrivateKey, fs.FileMode, error) {
	data, mode, err := readKeyFile(path)
	if err != nil {
		return nil, 0, err
	}
	key, err := parsePrivateKey(data, passphrase)
	if err != nil {
		return nil, 0, err
	}
	return key, mode, checkKeySize(&key.PublicKey)
}

// readKeyFile reads a small regular file. Its errors leave out the path, which
// the caller names.
func readKeyFile(path string) ([]byte, fs.FileMode, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, withoutPath(err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, withoutPath(err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return nil, 0, errors.New("is not a key file")
	}
	data, err := io.ReadAll(io.LimitReader(file, maxKeyFile))
	return data, info.Mode(), err
}

func withoutPath(err error) error {
	var inPath *fs.PathError
	if errors.As(err, &inPath) {
		return inPath.Err
	}
	return err
}

// makePrivateKey makes a key and leaves it complete and durable under path, or
// not at all.
func makePrivateKey(path string) (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, newKeyBits)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := writeDurably(path, text); err != nil {
		return nil, fmt.Errorf("cannot be written: %w", withoutPath(err))
	}
	return key, nil
}

// writeDurably writes a file that only its owner may read, by way of a
// temporary one, so that a crash cannot leave half a key behind.
func writeDurably(path string, data []byte) error {
	directory := filepath.Dir(path)
	file, err := os.CreateTemp(directory, "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // gone already after the rename
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	parent, err := os.Open(directory)
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// addPublicKeys trusts the keys of a PEM file, one of which must belong to the
// private key: a pair that does not match is a mistake to be told about.
func (k *signingKeys) addPublicKeys(path string) error {
	data, _, err := readKeyFile(path)
	if err != nil {
		return err
	}
	keys, err := parsePublicKeys(data)
	if err != nil {
		return err
	}
	matches := false
	for _, key := range keys {
		if err := checkKeySize(key); err != nil {
			return err
		}
		matches = matches || key.Equal(k.private.Public())
		k.public[thumbprint(key)] = key
	}
	if !matches {
		return errors.New("holds no key that belongs to the private key")
	}
	return nil
}

func checkKeySize(key *rsa.PublicKey) error {
	if bits := key.N.BitLen(); bits < minKeyBits || bits > maxKeyBits {
		return fmt.Errorf("has an RSA key of %d bits; use %d to %d", bits, minKeyBits, maxKeyBits)
	}
	return nil
}

// jwk is a public key as in RFC 7517 and RFC 7518 section 6.3.
type jwk struct {
	KeyType   string `json:"kty" doc:"Always RSA."`
	Use       string `json:"use" doc:"Always sig."`
	Algorithm string `json:"alg" doc:"Always RS256."`
	KeyID     string `json:"kid" doc:"The RFC 7638 thumbprint; the kid in the header of a token."`
	Modulus   string `json:"n"`
	Exponent  string `json:"e"`
}

func jwkOf(key *rsa.PublicKey) jwk {
	n, e := coordinates(key)
	return jwk{KeyType: "RSA", Use: "sig", Algorithm: "RS256", KeyID: thumbprint(key), Modulus: n, Exponent: e}
}

func coordinates(key *rsa.PublicKey) (n, e string) {
	encode := base64.RawURLEncoding.EncodeToString
	return encode(key.N.Bytes()), encode(big.NewInt(int64(key.E)).Bytes())
}

// thumbprint is the key id: the SHA-256 JWK thumbprint of RFC 7638.
func thumbprint(key *rsa.PublicKey) string {
	n, e := coordinates(key)
	sum := sha256.Sum256([]byte(`{"e":"` + e + `","kty":"RSA","n":"` + n + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// jwks returns the trusted keys, the signing one first.
func (k *signingKeys) jwks() []jwk {
	list := make([]jwk, 0, len(k.public))
	for kid, key := range k.public {
		if kid != k.kid {
			list = append(list, jwkOf(key))
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].KeyID < list[j].KeyID })
	return append([]jwk{jwkOf(k.public[k.kid])}, list...)
}

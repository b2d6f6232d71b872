package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // the default PRF of RFC 8018, as a PRF not broken
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"hash"
)

// Object identifiers of RFC 8018 appendix A and B and of NIST's AES arc.
var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACSHA1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACSHA384 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}
	oidHMACSHA512 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
	oidAES128CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES192CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}
	oidAES256CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// maxKeyIterations bounds the work that a key file can ask for.
const maxKeyIterations = 2_000_000

var errUnsupportedCipher = errors.New("is encrypted in a way that is not supported; " +
	"use PKCS#8 with PBES2, PBKDF2 and AES-CBC (openssl pkcs8 -topk8 -v2 aes-256-cbc)")

type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2Params struct {
	KeyDerivation pkix.AlgorithmIdentifier
	Cipher        pkix.AlgorithmIdentifier
}

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// keyEnvelope is an encrypted private key whose scheme is known and bounded.
type keyEnvelope struct {
	newHash    func() hash.Hash
	salt       []byte
	iterations int
	keyLength  int
	iv, data   []byte
}

// decryptPKCS8 decrypts an EncryptedPrivateKeyInfo (RFC 5958 section 3) of the
// one scheme in common use: PBES2 (RFC 8018) with PBKDF2 over HMAC-SHA-1, -256,
// -384 or -512 and AES-128, -192 or -256 in CBC mode.
func decryptPKCS8(der []byte, passphrase string) ([]byte, error) {
	envelope, err := parseEnvelope(der)
	if err != nil {
		return nil, err
	}
	return envelope.open(passphrase)
}

func (e keyEnvelope) open(passphrase string) ([]byte, error) {
	key, err := pbkdf2.Key(e.newHash, passphrase, e.salt, e.iterations, e.keyLength)
	if err != nil {
		return nil, err
	}
	return decryptCBC(key, e.iv, e.data)
}

func parseEnvelope(der []byte) (keyEnvelope, error) {
	var outer encryptedKey
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 {
		return keyEnvelope{}, errors.New("holds no readable PKCS#8 private key")
	}
	var scheme pbes2Params
	if !outer.Algorithm.Algorithm.Equal(oidPBES2) || !unmarshalAll(outer.Algorithm.Parameters, &scheme) {
		return keyEnvelope{}, errUnsupportedCipher
	}
	e := keyEnvelope{data: outer.Data}
	var ok bool
	e.keyLength, ok = aesKeyLength(scheme.Cipher.Algorithm)
	if !ok || !unmarshalAll(scheme.Cipher.Parameters, &e.iv) || len(e.iv) != aes.BlockSize {
		return keyEnvelope{}, errUnsupportedCipher
	}
	var kdf pbkdf2Params
	if !scheme.KeyDerivation.Algorithm.Equal(oidPBKDF2) || !unmarshalAll(scheme.KeyDerivation.Parameters, &kdf) {
		return keyEnvelope{}, errUnsupportedCipher
	}
	e.newHash, ok = hashOfPRF(kdf.PRF.Algorithm)
	e.salt, e.iterations = kdf.Salt, kdf.Iterations
	if !ok || e.iterations < 1 || e.iterations > maxKeyIterations || kdf.KeyLength != 0 && kdf.KeyLength != e.keyLength {
		return keyEnvelope{}, errUnsupportedCipher
	}
	return e, nil
}

func unmarshalAll(raw asn1.RawValue, target any) bool {
	rest, err := asn1.Unmarshal(raw.FullBytes, target)
	return err == nil && len(rest) == 0
}

func aesKeyLength(oid asn1.ObjectIdentifier) (int, bool) {
	switch {
	case oid.Equal(oidAES128CBC):
		return 16, true
	case oid.Equal(oidAES192CBC):
		return 24, true
	case oid.Equal(oidAES256CBC):
		return 32, true
	default:
		return 0, false
	}
}

func hashOfPRF(oid asn1.ObjectIdentifier) (func() hash.Hash, bool) {
	switch {
	case len(oid) == 0, oid.Equal(oidHMACSHA1):
		return sha1.New, true
	case oid.Equal(oidHMACSHA256):
		return sha256.New, true
	case oid.Equal(oidHMACSHA384):
		return sha512.New384, true
	case oid.Equal(oidHMACSHA512):
		return sha512.New, true
	default:
		return nil, false
	}
}

func decryptCBC(key, iv, data []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, errWrongPassphrase
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, data)
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > aes.BlockSize {
		return nil, errWrongPassphrase
	}
	for _, b := range plain[len(plain)-padding:] {
		if int(b) != padding {
			return nil, errWrongPassphrase
		}
	}
	return plain[:len(plain)-padding], nil
}

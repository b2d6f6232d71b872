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
const maxKeyIterations = 10_000_000

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

// decryptPKCS8 decrypts an EncryptedPrivateKeyInfo (RFC 5958 section 3) of the
// one scheme in common use: PBES2 (RFC 8018) with PBKDF2 over HMAC-SHA-1, -256,
// -384 or -512 and AES-128, -192 or -256 in CBC mode.
func decryptPKCS8(der []byte, passphrase string) ([]byte, error) {
	var envelope encryptedKey
	if rest, err := asn1.Unmarshal(der, &envelope); err != nil || len(rest) > 0 {
		return nil, errors.New("holds no readable PKCS#8 private key")
	}
	var params pbes2Params
	if !envelope.Algorithm.Algorithm.Equal(oidPBES2) || !unmarshalAll(envelope.Algorithm.Parameters, &params) {
		return nil, errUnsupportedCipher
	}
	keyLength, ok := aesKeyLength(params.Cipher.Algorithm)
	var iv []byte
	if !ok || !unmarshalAll(params.Cipher.Parameters, &iv) || len(iv) != aes.BlockSize {
		return nil, errUnsupportedCipher
	}
	key, err := deriveKey(params.KeyDerivation, passphrase, keyLength)
	if err != nil {
		return nil, err
	}
	return decryptCBC(key, iv, envelope.Data)
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

func deriveKey(kdf pkix.AlgorithmIdentifier, passphrase string, length int) ([]byte, error) {
	var params pbkdf2Params
	if !kdf.Algorithm.Equal(oidPBKDF2) || !unmarshalAll(kdf.Parameters, &params) {
		return nil, errUnsupportedCipher
	}
	newHash, ok := hashOfPRF(params.PRF.Algorithm)
	if !ok || params.Iterations < 1 || params.Iterations > maxKeyIterations || params.KeyLength != 0 && params.KeyLength != length {
		return nil, errUnsupportedCipher
	}
	return pbkdf2.Key(newHash, passphrase, params.Salt, params.Iterations, length)
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

package auth

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"llmhist/platform/logging"
)

// parsePrivateKey reads an RSA private key from PEM: PKCS#8 or PKCS#1, plain,
// in the old encrypted form of PKCS#1 (RFC 1421 headers), or as PKCS#8
// encrypted with PBES2 (see decryptPKCS8). Errors never hold key material.
func parsePrivateKey(data []byte, passphrase logging.Secret) (*rsa.PrivateKey, error) {
	block, err := privateBlock(data)
	if err != nil {
		return nil, err
	}
	der, err := decryptBlock(block, passphrase)
	if err != nil {
		return nil, err
	}
	if block.Type == "RSA PRIVATE KEY" {
		key, err := x509.ParsePKCS1PrivateKey(der)
		if err != nil {
			return nil, unreadable(block, der)
		}
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, unreadable(block, der)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("holds a %T; access tokens are signed with RS256, so an RSA key is needed", parsed)
	}
	return key, nil
}

// unreadable says why a key does not parse. A wrong passphrase passes the check
// of the padding once in 256 times and shows only here.
func unreadable(block *pem.Block, der []byte) error {
	if bytes.Equal(block.Bytes, der) {
		return errors.New("holds no readable RSA private key")
	}
	return errWrongPassphrase
}

// privateBlock finds the first private key in a PEM file.
func privateBlock(data []byte) (*pem.Block, error) {
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			return nil, errors.New("holds no RSA private key in PEM form")
		}
		switch block.Type {
		case "PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
			return block, nil
		case "OPENSSH PRIVATE KEY":
			return nil, errors.New("is an OpenSSH key; convert it with ssh-keygen -p -m PKCS8")
		}
	}
}

func decryptBlock(block *pem.Block, passphrase logging.Secret) ([]byte, error) {
	//lint:ignore SA1019 old encrypted PEM is unauthenticated, but operators have such files
	legacy := x509.IsEncryptedPEMBlock(block)
	if !legacy && block.Type != "ENCRYPTED PRIVATE KEY" {
		return block.Bytes, nil
	}
	if passphrase == "" {
		return nil, errors.New("is encrypted; set JWT_PRIVATE_KEY_PASSPHRASE")
	}
	if !legacy {
		return decryptPKCS8(block.Bytes, passphrase.Reveal())
	}
	//lint:ignore SA1019 see above
	der, err := x509.DecryptPEMBlock(block, []byte(passphrase.Reveal()))
	if err != nil {
		return nil, errWrongPassphrase
	}
	return der, nil
}

var errWrongPassphrase = errors.New("cannot be decrypted: JWT_PRIVATE_KEY_PASSPHRASE is wrong or the file is damaged")

// parsePublicKeys reads every RSA public key (PKIX or PKCS#1) of a PEM file.
func parsePublicKeys(data []byte) ([]*rsa.PublicKey, error) {
	var keys []*rsa.PublicKey
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			break
		}
		key, err := parsePublicKey(block)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("holds no RSA public key in PEM form")
	}
	return keys, nil
}

func parsePublicKey(block *pem.Block) (*rsa.PublicKey, error) {
	if block.Type == "RSA PUBLIC KEY" {
		key, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("holds no readable RSA public key")
		}
		return key, nil
	}
	if block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("holds a %q where a public key is expected", block.Type)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("holds no readable public key")
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("holds a %T; an RSA key is needed", parsed)
	}
	return key, nil
}

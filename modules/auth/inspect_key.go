package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// KeyFile describes the file of the key that signs access tokens.
type KeyFile struct {
	Path    string
	Setting string      // that names it; "" = it is the one of the data directory
	Missing bool        // there is none, and one will be made at the start
	Mode    fs.FileMode // permissions alone
	Bits    int         // size of the RSA key
}

// InspectKey looks at the signing key as New does, and makes none. The error
// says in one line, with the setting and the file, why New would refuse it.
func InspectKey(cfg Config, dataDir string) (KeyFile, error) {
	file := KeyFile{Path: filepath.Join(dataDir, privateKeyFile)}
	named, passphrase := "signing key "+file.Path, cfg.Passphrase
	if cfg.PrivateKeyPath != "" {
		file.Path, file.Setting = cfg.PrivateKeyPath, "JWT_PRIVATE_KEY_PATH"
		named = "JWT_PRIVATE_KEY_PATH " + file.Path
	} else {
		passphrase = "" // the one that is made has none
	}
	key, mode, err := loadPrivateKey(file.Path, passphrase)
	if errors.Is(err, fs.ErrNotExist) && file.Setting == "" {
		file.Missing = true
		return file, nil
	}
	if err != nil {
		return file, fmt.Errorf("%s: %w", named, err)
	}
	file.Mode, file.Bits = mode.Perm(), key.N.BitLen()
	_, err = trustedKeys(cfg, key)
	return file, err
}

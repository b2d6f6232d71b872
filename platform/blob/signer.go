package blob

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// FilesPath is where signed links of directory buckets are served.
const FilesPath = "/files/"

// Signer makes and checks links to objects that expire by themselves.
type Signer struct {
	secret []byte
	base   func() string
	life   time.Duration
	now    func() time.Time
}

// NewSigner returns a signer. secret is the installation's own key of at least
// 32 bytes; base returns the public URL of this server without a trailing
// slash; life is how long a link works.
func NewSigner(secret []byte, base func() string, life time.Duration, now func() time.Time) *Signer {
	return &Signer{secret: secret, base: base, life: life, now: now}
}

// Sign returns a link to the object.
func (s *Signer) Sign(bucket, key string) SignedURL {
	expires := strconv.FormatInt(s.now().Add(s.life).Unix(), 10)
	query := url.Values{"expires": {expires}, "signature": {s.mac(bucket, key, expires)}}
	return SignedURL{URL: s.base() + FilesPath + bucket + "/" + key + "?" + query.Encode(), ExpiresIn: s.life}
}

// Valid reports whether a link's parts were signed here and are not expired.
func (s *Signer) Valid(bucket, key, expires, signature string) bool {
	if !hmac.Equal([]byte(signature), []byte(s.mac(bucket, key, expires))) {
		return false
	}
	until, err := strconv.ParseInt(expires, 10, 64)
	return err == nil && s.now().Unix() < until
}

func (s *Signer) mac(bucket, key, expires string) string {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte(strings.Join([]string{bucket, key, expires}, "\n")))
	return hex.EncodeToString(mac.Sum(nil))
}

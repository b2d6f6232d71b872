package instance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// Store is something besides the database that servers have to share.
type Store struct {
	Setting string // that configures it, such as "S3_ENDPOINT"
	Address string // where it is, without secrets; "" = not configured
	Need    Need
	Else    string // what happens without it, for the operator
}

// Need says how much servers depend on sharing a store.
type Need int

// The needs.
const (
	Helpful     Need = iota // its absence is worth a warning
	AllOrNone               // either every server has it or none
	Unavoidable             // every server has it
)

// fingerprint tells two addresses apart without showing them.
func (s Store) fingerprint() string {
	if s.Address == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(s.Address))
	return hex.EncodeToString(sum[:8])
}

// checkOthers compares this server with every living one.
func (i *Instance) checkOthers(ctx context.Context) error {
	rows, err := i.table.list(ctx)
	if err != nil {
		return fmt.Errorf("look for other servers of this database: %w", err)
	}
	for _, other := range rows {
		if other.ID == i.id || other.age() >= i.lease {
			continue
		}
		if err := i.agree(ctx, other); err != nil {
			return err
		}
	}
	return nil
}

// agree reports why this server and another cannot be one.
func (i *Instance) agree(ctx context.Context, other row) error {
	who := fmt.Sprintf("another server uses this database (host %s, seen %s ago)", other.Host, other.age().Round(time.Second))
	if !slices.Contains(other.trusted(), i.self.KeyID) || !slices.Contains(i.self.TrustedKeys, other.KeyID) {
		return fmt.Errorf("%s and does not accept tokens of the same signing key: give all servers one key with JWT_PRIVATE_KEY_PATH, or stop that one (one that was killed is forgotten after %s)",
			who, i.lease)
	}
	theirs := other.stores()
	for _, store := range i.self.Stores {
		mine, there := store.fingerprint(), theirs[store.Setting]
		if mine == there && (mine != "" || store.Need == AllOrNone) {
			continue
		}
		oneLacks := mine == "" || there == ""
		if oneLacks && store.Need != Helpful {
			return fmt.Errorf("%s, and not both have %s: %s. Set it to the same on all servers, or stop that one (one that was killed is forgotten after %s)",
				who, store.Setting, store.Else, i.lease)
		}
		i.logger.WarnContext(ctx, "servers of one database differ in a store that they should share", "setting", store.Setting, "host", other.Host, "otherwise", store.Else)
	}
	return nil
}

package speech

import (
	"testing"

	"go.uber.org/goleak"
)

// The statement cache of each GORM handle has a goroutine that GORM never ends;
// the process opens its handles once.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

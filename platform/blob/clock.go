package blob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// StoreClock returns what the clock of the object store at endpoint says, to
// the second. No credentials are sent: stores tell the time to everyone.
func StoreClock(ctx context.Context, endpoint string) (time.Time, error) {
	address, err := storeAddress("S3_ENDPOINT", endpoint)
	if err != nil {
		return time.Time{}, err
	}
	options := S3Options{}.withDefaults()
	pool := options.transport()
	defer pool.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, address.Scheme+"://"+address.Host+"/", nil)
	if err != nil {
		return time.Time{}, errors.New("S3_ENDPOINT is not usable")
	}
	response, err := pool.RoundTrip(request) // follows no redirect
	if err != nil {
		return time.Time{}, fmt.Errorf("the object store does not tell the time: %s", reason(err))
	}
	_ = response.Body.Close()
	return http.ParseTime(response.Header.Get("Date"))
}

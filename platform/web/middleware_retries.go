package web

import (
	"strconv"

	"github.com/labstack/echo/v4"

	"llmhist/platform/usage"
)

// RetriesHeader says how often a provider was asked again after it had failed,
// in answers where that happened.
const RetriesHeader = "Llmhist-Retries"

// TellRetries sets RetriesHeader when the answer begins. It stands inside the
// middleware that accounts.
func TellRetries() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			ctx := c.Request().Context()
			c.Response().Before(func() {
				if n := usage.Read(ctx).Retries; n > 0 {
					c.Response().Header().Set(RetriesHeader, strconv.FormatInt(n, 10))
				}
			})
			return next(c)
		}
	}
}

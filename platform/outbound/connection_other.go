//go:build !unix

package outbound

// quiet says no where the system cannot be asked, so that no connection serves
// twice.
func (c *connection) quiet() bool { return false }

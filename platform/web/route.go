// Package web is the HTTP machinery under every module: the route table, the
// strict reading of requests, the one mapping from faults to problem documents,
// the middleware, and the OpenAPI document made from the very types the
// handlers take and return. It knows no product words.
package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// Access says who may call a route.
type Access uint8

// The access levels.
const (
	// Public routes serve everyone; a credential that is not valid is ignored.
	Public Access = iota
	// Optional routes serve anonymous callers too, but a credential that is
	// sent must be valid: nobody becomes anonymous by an expired token.
	Optional
	// SignedIn routes need an account.
	SignedIn
	// AdminOnly routes need an account with the admin role.
	AdminOnly
)

// Route is one line of a module's route table: everything the router, the
// middleware and the OpenAPI document need to know about an operation.
type Route struct {
	Method  string
	Path    string // Echo syntax: "/image/:id"
	Handler Handler
	Access  Access

	Summary     string // one line for the reference
	Description string // Markdown; limits, units, side effects
	Tag         string // the section of the reference; usually the module
	Errors      []int  // statuses beyond those every route can answer

	// Limit names the rate limit that applies ("image_generate"); "" = none.
	Limit string
	// Service and Action mark a generating operation whose every request is
	// accounted for ("image", "generate"); "" = not accounted.
	Service, Action string
	// MaxBody is the largest request body in bytes; 0 = DefaultMaxBody.
	MaxBody int64
	// Timeout bounds the whole operation; 0 = DefaultTimeout.
	Timeout time.Duration
	// Hidden keeps the route out of the OpenAPI document (pages, files).
	Hidden bool
}

// The bounds of a route that sets none.
const (
	DefaultMaxBody = 1 << 20
	DefaultTimeout = 30 * time.Second
)

// Router registers routes on Echo and remembers them, so that middleware can
// ask what the current request is and the OpenAPI document lists every one.
type Router struct {
	echo   *echo.Echo
	routes []*Route
	byPath map[string]map[string]*Route // method → path → route
}

const routerKey = "web.router"

// NewRouter returns a router over e. It must be made before middleware that
// calls RouteOf is used.
func NewRouter(e *echo.Echo) *Router {
	r := &Router{echo: e, byPath: map[string]map[string]*Route{}}
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			method, path := c.Request().Method, c.Request().URL.Path
			if c.Path() != path { // a pattern matched: is this the name of a route that takes another method?
				if allowed := r.methodsOf(path); len(allowed) > 0 {
					c.Response().Header().Set(echo.HeaderAllow, strings.Join(allowed, ", "))
					return echo.ErrMethodNotAllowed
				}
			}
			c.Set(routerKey, r.byPath[method][c.Path()])
			return next(c)
		}
	})
	return r
}

// methodsOf returns the methods of the routes whose path is exactly this one.
func (r *Router) methodsOf(path string) []string {
	var methods []string
	for method, routes := range r.byPath {
		if routes[path] != nil {
			methods = append(methods, method)
		}
	}
	slices.Sort(methods)
	return methods
}

// Add registers routes. A GET route answers HEAD too (RFC 9110 section 9.3.2):
// net/http drops the body. A second route of the same method and path is a
// programming error and panics.
func (r *Router) Add(routes ...Route) {
	for _, route := range routes {
		if route.MaxBody == 0 {
			route.MaxBody = DefaultMaxBody
		}
		if route.Timeout == 0 {
			route.Timeout = DefaultTimeout
		}
		r.routes = append(r.routes, &route)
		r.register(route.Method, &route)
		if route.Method == http.MethodGet {
			r.register(http.MethodHead, &route)
		}
	}
}

func (r *Router) register(method string, route *Route) {
	paths := r.byPath[method]
	if paths == nil {
		paths = map[string]*Route{}
		r.byPath[method] = paths
	}
	if paths[route.Path] != nil {
		panic(fmt.Sprintf("web: route %s %s registered twice", method, route.Path))
	}
	paths[route.Path] = route
	r.echo.Add(method, route.Path, route.Handler.serve)
}

// Routes returns every registered route in order of registration.
func (r *Router) Routes() []*Route { return r.routes }

// RouteOf returns the route that serves c, or nil when none matched.
func RouteOf(c echo.Context) *Route {
	route, _ := c.Get(routerKey).(*Route)
	return route
}

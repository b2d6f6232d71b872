package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/web"
)

// doctorRoute answers GET /admin/doctor. It is here because only the App knows
// everything the doctor looks at.
type doctorRoute struct {
	app  *App
	busy sync.Mutex // held by the one examination at a time
}

type doctorRequest struct {
	Online bool `query:"online" json:"-" doc:"Ask the providers for their lists of models too, which generates nothing."`
}

func (a *App) mountDoctor(router *web.Router) {
	doctor := &doctorRoute{app: a}
	router.Add(web.Route{
		Method: http.MethodGet, Path: "/admin/doctor", Handler: web.JSON(http.StatusOK, doctor.examine), Access: web.AdminOnly,
		Limit: "admin_all", Tag: "Administration", Timeout: time.Minute, Errors: []int{http.StatusConflict},
		Summary: "What works, what does not, and what to set",
		Description: "The report of `llmhist doctor`, made by the running server within a minute. Providers are asked only with `online=true`. " +
			"One report is made at a time: 409 `doctor_running` meanwhile. No key and no prompt is ever in it.",
	})
}

func (d *doctorRoute) examine(ctx context.Context, in doctorRequest) (diagnosis, error) {
	if !d.busy.TryLock() {
		return diagnosis{}, fault.New(fault.Conflict, "doctor_running", "The doctor is at work for another request. Ask again when that one is answered.")
	}
	defer d.busy.Unlock()
	e := examination{cfg: d.app.config, now: time.Now(), online: in.Online, server: d.app}
	return e.run(ctx), nil
}

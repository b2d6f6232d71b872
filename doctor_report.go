package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// status says whether what a finding is about works.
type status string

const (
	statusOK      status = "ok"
	statusWarning status = "warning"
	statusError   status = "error"
	statusSkipped status = "skipped" // it could not be looked at, which says nothing
)

// The areas of findings.
const (
	areaConfig    = "config"
	areaProvider  = "provider"
	areaDatabase  = "database"
	areaDocuments = "documents"
	areaObjects   = "objects"
	areaLimits    = "limits"
	areaKey       = "key"
	areaClock     = "clock"
	areaDisk      = "disk"
	areaPort      = "port"
)

// finding is one line of the doctor's report.
type finding struct {
	Area   string `json:"area" enum:"config,provider,database,documents,objects,limits,key,clock,disk,port"`
	Name   string `json:"name" doc:"Which one of its area, such as chat/openai."`
	Status status `json:"status" enum:"ok,warning,error,skipped" doc:"skipped: it could not be looked at."`
	Detail string `json:"detail" doc:"What was found, and why."`
	Action string `json:"action" doc:"What to set or to do; empty when nothing."`
}

func fine(area, name, detail string) finding {
	return finding{Area: area, Name: name, Status: statusOK, Detail: detail}
}

func warned(area, name, detail, action string) finding {
	return finding{Area: area, Name: name, Status: statusWarning, Detail: detail, Action: action}
}

func failed(area, name, detail, action string) finding {
	return finding{Area: area, Name: name, Status: statusError, Detail: detail, Action: action}
}

func skipped(area, name, detail string) finding {
	return finding{Area: area, Name: name, Status: statusSkipped, Detail: detail}
}

// diagnosis is the doctor's report.
type diagnosis struct {
	Findings []finding `json:"findings"`
	Worst    status    `json:"worst" enum:"ok,warning,error"`
}

func newDiagnosis(findings []finding) diagnosis {
	d := diagnosis{Findings: findings, Worst: statusOK}
	for _, f := range findings {
		if f.Status == statusError || f.Status == statusWarning && d.Worst == statusOK {
			d.Worst = f.Status
		}
	}
	return d
}

// exit returns the exit code of the command, as an error unless it is 0.
func (d diagnosis) exit() error {
	switch d.Worst {
	case statusError:
		return exitCode(1)
	case statusWarning:
		return exitCode(2)
	default:
		return nil
	}
}

func (d diagnosis) write(out io.Writer, asJSON bool) error {
	if !asJSON {
		_, err := io.WriteString(out, d.table())
		return err
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(d)
}

// table writes a line for each finding, and what to do about it below.
func (d diagnosis) table() string {
	var text strings.Builder
	areas, names := 0, 0
	for _, f := range d.Findings {
		areas, names = max(areas, len(f.Area)), max(names, len(f.Name))
	}
	line := func(status, area, name, rest string) {
		fmt.Fprintf(&text, "%-7s  %-*s  %-*s  %s\n", status, areas, area, names, name, rest)
	}
	for _, f := range d.Findings {
		line(string(f.Status), f.Area, f.Name, f.Detail)
		if f.Action != "" {
			line("", "", "", "→ "+f.Action)
		}
	}
	return text.String()
}

package web

import (
	"fmt"

	"llmhist/platform/fault"
)

// PageQuery is embedded in the input of every list operation.
type PageQuery struct {
	Page    *int `query:"page" json:"-" doc:"Which page, from 1." default:"1" minimum:"1" maximum:"1000000"`
	PerPage *int `query:"per_page" json:"-" doc:"How many entries a page holds." default:"10" minimum:"1" maximum:"100"`
}

// Page is a checked place in a list.
type Page struct {
	Number int // from 1
	Size   int // 1 to 100
}

// MaxPageSize is the most entries one page holds.
const MaxPageSize = 100

const maxPageNumber = 1_000_000

// Checked returns the page asked for, or an Invalid fault naming what is off.
func (q PageQuery) Checked() (Page, error) {
	page := Page{Number: 1, Size: 10}
	if q.Page != nil {
		page.Number = *q.Page
	}
	if q.PerPage != nil {
		page.Size = *q.PerPage
	}
	var fields fault.Fields
	fields.Check(page.Number >= 1 && page.Number <= maxPageNumber, "page", "out_of_range", fmt.Sprintf("must be 1 to %d", maxPageNumber))
	fields.Check(page.Size >= 1 && page.Size <= MaxPageSize, "per_page", "out_of_range", fmt.Sprintf("must be 1 to %d", MaxPageSize))
	return page, fields.Err()
}

// Offset returns how many entries come before the page.
func (p Page) Offset() int { return (p.Number - 1) * p.Size }

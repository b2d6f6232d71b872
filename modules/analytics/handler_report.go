package analytics

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"llmhist/platform/fault"
	"llmhist/platform/web"
)

type reportRequest struct {
	Format string `query:"format" json:"-" enum:"json,csv" default:"json" doc:"json for the summary, csv to download the lines."`
	PeriodQuery
	ServiceQuery
	UserQuery
}

// ReportAnswer is a period beside the one before it.
type ReportAnswer struct {
	UserID    *int64                  `json:"user_id" doc:"Whose figures these are; null means everyone's."`
	From      time.Time               `json:"from"`
	To        time.Time               `json:"to"`
	Totals    ReportTotals            `json:"totals"`
	Previous  ReportPrevious          `json:"previous" doc:"The period of the same length before."`
	Change    ReportChange            `json:"change" doc:"Against the previous period, as a share: 0.25 is a quarter more. Null where that had none."`
	Services  map[string]ServiceUsage `json:"services" doc:"By service; chat, image and speech are always there."`
	TopModels []ModelRequests         `json:"top_models"`
	TopUsers  []UserLine              `json:"top_users" doc:"For administrators who ask about everyone, otherwise empty."`
}

// ReportTotals is the sum of a period.
type ReportTotals struct {
	Requests    int64              `json:"requests"`
	Successful  int64              `json:"successful"`
	Failed      int64              `json:"failed"`
	SuccessRate float64            `json:"success_rate"`
	Tokens      TokenUsage         `json:"tokens"`
	Bytes       int64              `json:"bytes"`
	CostUSD     float64            `json:"cost_usd"`
	LatencyMS   LatencyPercentiles `json:"latency_ms"`
}

// ReportPrevious is the period before.
type ReportPrevious struct {
	From   time.Time    `json:"from"`
	To     time.Time    `json:"to"`
	Totals ReportTotals `json:"totals"`
}

// ReportChange is by how much sums changed.
type ReportChange struct {
	Requests *float64 `json:"requests"`
	Failed   *float64 `json:"failed"`
	Tokens   *float64 `json:"tokens"`
	Bytes    *float64 `json:"bytes"`
	CostUSD  *float64 `json:"cost_usd"`
}

func (h *handlers) report(c echo.Context, in reportRequest) error {
	query := Query{From: in.From, To: in.To, Service: in.Service, UserID: in.UserID}
	ctx := c.Request().Context()
	switch in.Format {
	case "", "json":
		report, err := h.service.Report(ctx, query)
		if err != nil {
			return err
		}
		return web.WriteJSON(c, http.StatusOK, reportAnswer(report))
	case "csv":
		ledger, err := h.service.Ledger(ctx, query)
		if err != nil {
			return err
		}
		return writeLedger(c, ledger)
	default:
		var fields fault.Fields
		fields.Add("format", "unknown_format", "must be json or csv")
		return fields.Err()
	}
}

func reportAnswer(r Report) ReportAnswer {
	now, before := r.Total, r.Previous.Total
	return ReportAnswer{
		UserID: r.UserID, From: r.From, To: r.To, Totals: reportTotals(r.Overview),
		Previous: ReportPrevious{From: r.Previous.From, To: r.Previous.To, Totals: reportTotals(r.Previous)},
		Change: ReportChange{
			Requests: change(now.Requests, before.Requests), Failed: change(now.Failed, before.Failed),
			Tokens: change(now.Tokens(), before.Tokens()), Bytes: change(now.Bytes(), before.Bytes()),
			CostUSD: change(now.CostNanoUSD, before.CostNanoUSD),
		},
		Services: serviceUsage(r.Services), TopModels: modelRequests(r.TopModels), TopUsers: userLines(r.TopUsers),
	}
}

func reportTotals(o Overview) ReportTotals {
	t := o.Total
	return ReportTotals{t.Requests, t.Successful(), t.Failed, t.SuccessRate(), tokenUsage(t), t.Bytes(), t.CostUSD(), LatencyPercentiles(o.Latency)}
}

func change(now, before int64) *float64 {
	if before == 0 {
		return nil
	}
	share := float64(now-before) / float64(before)
	return &share
}

var ledgerColumns = []string{"day", "service", "provider", "model", "requests", "successful", "failed",
	"input_tokens", "output_tokens", "input_bytes", "output_bytes", "cost_usd", "mean_latency_ms"}

// writeLedger answers with an RFC 4180 file. It is written completely before it
// is sent, so that a failure is still a problem document.
func writeLedger(c echo.Context, ledger Ledger) error {
	var file bytes.Buffer
	w := csv.NewWriter(&file)
	w.UseCRLF = true
	_ = w.Write(ledgerColumns) // a buffer takes everything
	for _, line := range ledger.Lines {
		_ = w.Write(ledgerLine(line))
	}
	w.Flush()
	name := fmt.Sprintf("llmhist-usage-%s-%s.csv", ledger.From.Format("20060102T15"), ledger.To.Format("20060102T15"))
	header := c.Response().Header()
	header.Set(echo.HeaderContentDisposition, `attachment; filename="`+name+`"`)
	header.Set(echo.HeaderCacheControl, "no-store")
	return c.Blob(http.StatusOK, "text/csv; charset=utf-8", file.Bytes())
}

func ledgerLine(r Rollup) []string {
	line := []string{r.Start.Format(time.DateOnly), cell(r.Service), cell(r.Provider), cell(r.Model)}
	for _, n := range []int64{r.Requests, r.Successful(), r.Failed, r.InputTokens, r.OutputTokens, r.InputBytes, r.OutputBytes} {
		line = append(line, strconv.FormatInt(n, 10))
	}
	return append(line, strconv.FormatFloat(r.CostUSD(), 'f', -1, 64), strconv.FormatInt(r.MeanLatencyMS(), 10))
}

// cell keeps a spreadsheet from reading text as a formula: a remote server
// chooses the name of its model
// (https://owasp.org/www-community/attacks/CSV_Injection).
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}

package operations

import (
	"bytes"
	"fmt"
	"html"
	"net/url"
	"strings"
)

// page is HTML that grows. It is no template: html/template finds methods by
// their names while it runs, for which the linker would keep every exported method
// in the binary, 14 MB of them.
type page struct{ bytes.Buffer }

// add appends markup with texts, escaped, in the place of each %s.
func (p *page) add(markup string, texts ...string) {
	escaped := make([]any, len(texts))
	for i, text := range texts {
		escaped[i] = html.EscapeString(text)
	}
	fmt.Fprintf(p, markup, escaped...)
}

// prose appends text with code type between backticks.
func (p *page) prose(text string) {
	for i, piece := range strings.Split(text, "`") {
		switch {
		case piece == "":
		case i%2 == 1:
			p.add("<code>%s</code>", piece)
		default:
			p.add("%s", piece)
		}
	}
}

// docsPage returns one readable page of the whole API, without scripts.
func docsPage(data docsData) []byte {
	var p page
	p.add(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s API reference</title>
<link rel="stylesheet" href="/docs/style.css">
</head>
<body>
<header>
<p class="back"><a href="/">%s</a></p>
<h1>API reference</h1>
<p>%s</p>
<p>Version %s · <code>%s</code> · <a href="/openapi.json">openapi.json</a></p>
<nav aria-label="Sections"><ul>`, data.Title, data.Title, data.Description, data.Version, data.Server)
	for _, group := range data.Groups {
		p.add(`<li><a href="%s">%s</a></li>`, (&url.URL{Fragment: group.Name}).String(), group.Name)
	}
	p.add(`</ul></nav>
</header>
<main>
<section class="conventions">
<h2>Conventions</h2>
<p>Send <code>Authorization: Bearer …</code> with an access token from <code>POST /auth/login</code> or an API key. Errors are
<code>application/problem+json</code> with a stable <code>code</code>, a <code>detail</code> that says what to do, a <code>request_id</code>, and for
bad input every field in <code>errors</code>. Lists take <code>page</code> and <code>per_page</code>. Unknown fields are refused.</p>
</section>
`)
	for _, group := range data.Groups {
		p.add("<section id=\"%s\">\n<h2>%s</h2>\n", group.Name, group.Name)
		for _, operation := range group.Operations {
			p.operation(operation)
		}
		p.add("</section>\n")
	}
	p.add("</main>\n</body>\n</html>\n")
	return p.Bytes()
}

func (p *page) operation(o docsOperation) {
	p.add(`<details id="%s">
<summary><span class="method %s">%s</span> <code>%s</code> <span class="what">%s</span> <span class="access">%s</span></summary>
`, o.ID, o.Method, o.Method, o.Path, o.Summary, o.Access)
	for _, paragraph := range o.Paragraphs {
		p.add("<p>")
		p.prose(paragraph)
		p.add("</p>\n")
	}
	if len(o.Parameters) > 0 {
		p.add("<h3>Parameters</h3>")
		p.fields(o.Parameters)
	}
	if len(o.Body) > 0 {
		p.add("<h3>Body</h3>")
		p.fields(o.Body)
	}
	p.add("<h3>Answers</h3>\n<dl>")
	for _, response := range o.Responses {
		p.add("<dt>%s</dt><dd>%s", response.Status, response.Description)
		for _, contentType := range response.ContentTypes {
			p.add(` <span class="type">%s</span>`, contentType)
		}
		if len(response.Fields) > 0 {
			p.fields(response.Fields)
		}
		p.add("</dd>")
	}
	p.add("</dl>\n</details>\n")
}

func (p *page) fields(list []docsField) {
	p.add(`<div class="scroll"><table>
<thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Meaning</th></tr></thead>
<tbody>`)
	for _, field := range list {
		p.add("<tr><td><code>%s</code>", field.Name)
		if field.Required {
			p.add(` <span class="required">required</span>`)
		}
		if field.Place != "" {
			p.add(` <span class="type">%s</span>`, field.Place)
		}
		p.add("</td><td>%s</td><td>", field.Type)
		p.prose(field.Description)
		p.add("</td></tr>")
	}
	p.add("</tbody>\n</table></div>\n")
}

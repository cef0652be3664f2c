package report

import (
	"embed"
	"fmt"
	"html/template"
	"io"
)

//go:embed assets
var assets embed.FS

// RenderHTML writes the report as one page that needs nothing else: no network, no file beside it.
func RenderHTML(w io.Writer, r Report) error {
	p := makePage(r)
	for _, part := range []struct {
		file string
		set  func(text string)
	}{
		// Our own files, not input: they go into the page as they are.
		{"uPlot.iife.min.js", func(s string) { p.UPlotJS = template.JS(s) }},
		{"uPlot.min.css", func(s string) { p.UPlotCSS = template.CSS(s) }},
		{"page.js", func(s string) { p.Script = template.JS(s) }},
		{"page.css", func(s string) { p.Styling = template.CSS(s) }},
	} {
		text, err := assets.ReadFile("assets/" + part.file)
		if err != nil {
			return fmt.Errorf("render page: %w", err)
		}
		part.set(string(text))
	}
	license, err := assets.ReadFile("assets/uPlot.LICENSE")
	if err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	// The page is a copy of uPlot too, and its licence asks for the notice in all copies.
	p.UPlotJS = "/*\n" + template.JS(license) + "*/\n" + p.UPlotJS
	t, err := template.ParseFS(assets, "assets/page.html.tmpl")
	if err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	return t.Execute(w, p)
}

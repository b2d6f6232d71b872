// Package web embeds the built front page of llmhist and serves it.
//
// It owns the paths / and /assets/. The sources beside this file are TypeScript;
// their build writes dist/, which is embedded when the Go binary is built. A
// checkout without Node still builds: dist/ then holds only a placeholder, and /
// says how to get the page.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

//go:embed unbuilt.html
var unbuilt []byte

// indexName is the page itself, at the root of the built output.
const indexName = "index.html"

// Files returns the built output, rooted where index.html is. When the page was
// not built into this binary it holds only a placeholder; see Built.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		// fs.Sub fails only for an invalid path, and this one is a constant.
		panic(err)
	}
	return files
}

// Built reports whether the front page was built into this binary.
func Built() bool {
	return isBuilt(Files())
}

func isBuilt(files fs.FS) bool {
	info, err := fs.Stat(files, indexName)
	return err == nil && info.Mode().IsRegular()
}

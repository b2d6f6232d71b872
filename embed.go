package main

import "embed"

// documentation is what the built-in guide answers from: the files users read.
//
//go:embed README.md docs/*.md
var documentation embed.FS

package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// importRule forbids an import in some files. The failing build teaches the rule.
type importRule struct {
	files     func(file string) bool
	forbidden func(file, imported string) bool
	reason    string
}

var importRules = []importRule{
	{
		files:     under("modules/"),
		forbidden: func(file, imported string) bool { return isModule(imported) && imported != packageOf(file) },
		reason:    "a module knows no other module: app.go introduces them",
	},
	{
		files:     under("modules/"),
		forbidden: func(_, imported string) bool { return imported == "llmhist/config" || imported == "llmhist/migrations" },
		reason:    "a module is given its configuration and its schema; it does not fetch them",
	},
	{
		files: under("platform/"),
		forbidden: func(_, imported string) bool {
			return strings.HasPrefix(imported, "llmhist/modules/") || imported == "llmhist/config" || imported == "llmhist/transfer"
		},
		reason: "platform is machinery without product words",
	},
	{
		files:     allBut(suffix("_gorm.go"), under("platform/database/")),
		forbidden: imports("gorm.io/"),
		reason:    "GORM stays in *_gorm.go and platform/database, so that a module's rules do not depend on it",
	},
	{
		files:     allBut(suffix("_mongo.go"), under("platform/database/")),
		forbidden: imports("go.mongodb.org/"),
		reason:    "the MongoDB driver stays in *_mongo.go and platform/database",
	},
	{
		files:     allBut(under("platform/blob/")),
		forbidden: imports("github.com/minio/"),
		reason:    "object stores are reached through blob.Bucket",
	},
	{
		files:     allBut(under("platform/redisclient/"), under("platform/ratelimit/"), under("platform/notice/")),
		forbidden: imports("github.com/redis/"),
		reason:    "Redis holds limits and notices only, and nothing depends on its answer",
	},
	{
		files:     allBut(under("platform/jobs/")),
		forbidden: imports("github.com/riverqueue/"),
		reason:    "periodic work is given to jobs.Runner",
	},
	{
		files:     allBut(under("platform/outbound/")),
		forbidden: imports("github.com/failsafe-go/"),
		reason:    "retries, breakers and queues before providers are outbound.Client's",
	},
	{
		files:     allBut(under("config/")),
		forbidden: imports("github.com/spf13/viper"),
		reason:    "config is the only reader of settings",
	},
	{
		files: allBut(under("platform/web/"), under("bench/"), named("module.go"), func(file string) bool {
			name := path.Base(file)
			return strings.HasPrefix(name, "handler") || strings.HasPrefix(name, "middleware")
		}),
		forbidden: imports("github.com/labstack/echo"),
		reason:    "echo stays in module.go, handler*.go, middleware files and platform/web, so that its next major version is one small change",
	},
	{
		files:     under("transfer/"),
		forbidden: imports("llmhist/config"),
		reason:    "transfer is given opened engines: main opens them from the configuration",
	},
	{
		files:     under("modules/"),
		forbidden: imports("llmhist/transfer"),
		reason:    "transfer knows the archives of the modules, and no module knows transfer",
	},
	{
		files:     allBut(under("bench/"), under("tools/")),
		forbidden: func(_, imported string) bool { return imported == "text/template" || imported == "html/template" },
		reason:    "the linker would keep every exported method for it, see size_test.go",
	},
}

func TestImportRules(t *testing.T) {
	checked := 0
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file = filepath.ToSlash(file)
		if entry.IsDir() && (entry.Name() == "node_modules" || strings.HasPrefix(entry.Name(), ".") && file != ".") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		checked++
		checkImports(t, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 50 {
		t.Fatalf("only %d files were found: is this the top of the tree?", checked)
	}
}

func checkImports(t *testing.T, file string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	isTest := strings.HasSuffix(file, "_test.go") || strings.HasPrefix(file, "platform/testkit/")
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, rule := range importRules {
			if isTest && !isModule(imported) && imported != "llmhist/config" {
				continue // tests may open engines directly, but know no other module
			}
			if rule.files(file) && rule.forbidden(file, imported) {
				t.Errorf("%s imports %s: %s", file, imported, rule.reason)
			}
		}
	}
}

// TestImportRulesBite proves that every rule can fail.
func TestImportRulesBite(t *testing.T) {
	for i, offence := range []struct{ file, imported string }{
		{"modules/chat/service.go", "llmhist/modules/auth"},
		{"modules/chat/service.go", "llmhist/config"},
		{"platform/web/route.go", "llmhist/modules/auth"},
		{"modules/chat/service.go", "gorm.io/gorm"},
		{"modules/chat/repository_gorm.go", "go.mongodb.org/mongo-driver/v2/mongo"},
		{"modules/image/service.go", "github.com/minio/minio-go/v7"},
		{"modules/auth/service.go", "github.com/redis/go-redis/v9"},
		{"background.go", "github.com/riverqueue/river"},
		{"modules/chat/provider_openai.go", "github.com/failsafe-go/failsafe-go/retrypolicy"},
		{"main.go", "github.com/spf13/viper"},
		{"modules/chat/service.go", "github.com/labstack/echo/v4"},
		{"transfer/copy.go", "llmhist/config"},
		{"modules/chat/archive.go", "llmhist/transfer"},
		{"platform/operations/docs_page.go", "html/template"},
	} {
		rule := importRules[i]
		if !rule.files(offence.file) || !rule.forbidden(offence.file, offence.imported) {
			t.Errorf("rule %d (%s) does not see %s importing %s", i, rule.reason, offence.file, offence.imported)
		}
	}
}

func packageOf(file string) string { return "llmhist/" + path.Dir(file) }

func isModule(imported string) bool { return strings.HasPrefix(imported, "llmhist/modules/") }

func under(prefix string) func(string) bool {
	return func(file string) bool { return strings.HasPrefix(file, prefix) }
}

func suffix(end string) func(string) bool {
	return func(file string) bool { return strings.HasSuffix(file, end) }
}

func named(name string) func(string) bool {
	return func(file string) bool { return path.Base(file) == name }
}

func allBut(exceptions ...func(string) bool) func(string) bool {
	return func(file string) bool {
		for _, excepted := range exceptions {
			if excepted(file) {
				return false
			}
		}
		return true
	}
}

func imports(prefix string) func(string, string) bool {
	return func(_, imported string) bool { return strings.HasPrefix(imported, prefix) }
}

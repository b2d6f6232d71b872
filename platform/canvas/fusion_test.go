package canvas

import (
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoProductCanBeFused holds the rule behind equal pixels on all platforms: every
// product of floats that is not a constant is the whole argument of a float64 conversion,
// which the language says rounds it; and of package math only exactly rounded functions
// are called.
func TestNoProductCanBeFused(t *testing.T) {
	fset := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "source", nil)}
	if _, err := config.Check("canvas", fset, files, info); err != nil {
		t.Fatal(err)
	}
	check := &fusionCheck{t: t, fset: fset, info: info, rounded: map[ast.Expr]bool{}}
	for _, f := range files {
		ast.Inspect(f, check.visit)
	}
	if check.products == 0 {
		t.Error("found no product at all: the check is broken")
	}
}

type fusionCheck struct {
	t        *testing.T
	fset     *token.FileSet
	info     *types.Info
	rounded  map[ast.Expr]bool
	products int
}

var exactMath = map[string]bool{"Floor": true, "Ceil": true, "Sqrt": true, "Abs": true, "Max": true, "Min": true}

func (c *fusionCheck) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.CallExpr:
		if name, ok := n.Fun.(*ast.Ident); ok && name.Name == "float64" {
			c.rounded[n.Args[0]] = true
		}
	case *ast.SelectorExpr:
		f, ok := c.info.Uses[n.Sel].(*types.Func)
		if ok && f.Pkg() != nil && f.Pkg().Path() == "math" && !exactMath[f.Name()] {
			c.t.Errorf("%v: math.%s may differ by platform", c.fset.Position(n.Pos()), f.Name())
		}
	case *ast.BinaryExpr:
		if n.Op == token.MUL && c.inexact(n) {
			c.products++
			if !c.rounded[n] {
				c.t.Errorf("%v: a product that may be fused; use mul", c.fset.Position(n.Pos()))
			}
		}
	case *ast.AssignStmt:
		if n.Tok == token.MUL_ASSIGN && c.inexact(n.Lhs[0]) {
			c.t.Errorf("%v: a product that may be fused; use mul", c.fset.Position(n.Pos()))
		}
	}
	return true
}

// inexact reports a float that is not a constant.
func (c *fusionCheck) inexact(e ast.Expr) bool {
	tv := c.info.Types[e]
	basic, ok := tv.Type.Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsFloat != 0 && (tv.Value == nil || tv.Value.Kind() == constant.Unknown)
}

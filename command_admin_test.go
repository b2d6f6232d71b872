package main

import (
	"bytes"
	"strings"
	"testing"
)

// execute runs one command of the program as main does and returns what it
// said and whether it worked.
func execute(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := commands()
	root.SetArgs(args)
	root.SetIn(strings.NewReader(input))
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestAccountsAreManagedWhileTheServerRuns(t *testing.T) {
	s := boot(t)
	dir := "--data-dir=" + s.app.config.Data.Dir
	s.newUser("ada")

	if out, err := execute(t, "a long password\n", "admin", "create", "--email", "Root@example.com", dir); err != nil || !strings.Contains(out, "root@example.com") {
		t.Fatalf("%s %v", out, err)
	}
	root, _ := s.signIn("root@example.com", "a long password")
	s.do("GET", "/admin/users", root, nil).want(200)
	if _, err := execute(t, "a long password\n", "admin", "create", "--email", "ada@example.com", dir); err == nil || !strings.Contains(err.Error(), "admin promote --email") {
		t.Errorf("an address with an account: %v", err)
	}

	if _, err := execute(t, "", "admin", "promote", "--email", "ada@example.com", dir); err != nil {
		t.Fatal(err)
	}
	ada, _ := s.signIn("ada@example.com", "password of ada")
	s.do("GET", "/admin/users", ada, nil).want(200)

	if _, err := execute(t, "another long password\n", "admin", "password", "--email", "ada@example.com", dir); err != nil {
		t.Fatal(err)
	}
	s.do("POST", "/auth/login", "", object{"email": "ada@example.com", "password": "password of ada"}).want(401)
	s.signIn("ada@example.com", "another long password")

	for name, args := range map[string][]string{
		"no account":     {"admin", "promote", "--email", "nobody@example.com", dir},
		"no password":    {"admin", "create", "--email", "x@example.com", dir},
		"no address":     {"admin", "create", dir},
		"not an address": {"admin", "promote", "--email", "nobody", dir},
	} {
		if _, err := execute(t, "", args...); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, err := execute(t, "short\n", "admin", "create", "--email", "x@example.com", dir); err == nil || strings.Contains(err.Error(), "short\n") {
		t.Errorf("a short password: %v", err)
	}
}

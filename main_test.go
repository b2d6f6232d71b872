package main

import "os"

// requireAll says that a missing engine or build step is a failure, not a
// reason to skip.
func requireAll() bool { return os.Getenv("LLMHIST_TEST_ALL") != "" }

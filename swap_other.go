//go:build !linux

package main

// swap puts the directory from in the place of to, which becomes aside.
func swap(from, to, aside string) error { return swapByTwo(from, to, aside) }

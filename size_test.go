package main

import (
	"bytes"
	"os/exec"
	"testing"
)

// A program that finds methods by names it makes while it runs keeps every
// exported method of every type, 14 MB of ours. text/template does so, and so
// does GORM since 1.30.2, which is why go.mod replaces it; go build
// -ldflags=-dumpdep marks the culprit with <ReflectMethod>.
func TestTheBinaryHoldsNoMethodThatNothingCalls(t *testing.T) {
	symbols, err := exec.Command("go", "tool", "nm", buildBinary(t)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(symbols, []byte("gorm.io/gorm.(*DB).Find\n")) {
		t.Fatal("the symbols of the binary are not as expected")
	}
	for _, uncalled := range []string{"gorm.io/gorm.(*Association).Append\n", "github.com/minio/minio-go/v7.(*Client).SetBucketTagging\n"} {
		if bytes.Contains(symbols, []byte(uncalled)) {
			t.Errorf("the binary holds %s", uncalled)
		}
	}
}

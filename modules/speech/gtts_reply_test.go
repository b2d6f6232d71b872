package speech

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// gttsReply renders a reply as the service frames it.
func gttsReply(entries ...string) string {
	frame := "[" + strings.Join(entries, ",") + `,["di",40],["af.httprm",39,"-123",5]]`
	return fmt.Sprintf(")]}'\n\n%d\n%s\n25\n[[\"e\",4,null,null,1270]]\n", len(frame), frame)
}

// gttsEntry renders the entry that carries sound.
func gttsEntry(sound []byte) string {
	inner, _ := json.Marshal([]string{base64.StdEncoding.EncodeToString(sound)})
	outer, _ := json.Marshal(string(inner))
	return `["wrb.fr","jQ1olc",` + string(outer) + `,null,null,null,"generic"]`
}

func TestReadGTTSReply(t *testing.T) {
	sound := []byte("\xff\xf3\x84\xc4 any four")
	good := gttsEntry(sound)
	tests := map[string]struct {
		reply string
		want  error
	}{
		"sound":                      {gttsReply(good), nil},
		"sound after other entries":  {gttsReply(`["wrb.fr","other","[\"QUJD\"]"]`, "7", `[]`, good), nil},
		"sound in the second frame":  {")]}'\n12\n[[\"di\",1]]\n99\n[" + good + "]", nil},
		"frame broken over lines":    {")]}'\n\n999\n[\n" + strings.Replace(good, ",null,null", ",null,\nnull", 1) + "\n]\n", nil},
		"padding escaped":            {gttsReply(strings.ReplaceAll(good, "=", `\\u003d`)), nil},
		"cut off after the sound":    {strings.TrimSuffix(gttsReply(good), "1270]]\n"), nil},
		"no prefix":                  {"[" + good + "]", nil},
		"refused":                    {gttsReply(`["wrb.fr","jQ1olc",null,null,null,[3],"generic"]`), errGTTSRefused},
		"rejected call":              {gttsReply(`["er",null,null,null,null,405,null,null,null,3]`, good), errGTTSReply},
		"consent page":               {"<!doctype html>\n<html><body>Before you continue</body></html>", errGTTSPage},
		"empty":                      {"", errGTTSReply},
		"prefix only":                {")]}'\n\n", errGTTSReply},
		"cut off within the sound":   {gttsReply(good)[:40], errGTTSReply},
		"payload is no JSON":         {gttsReply(`["wrb.fr","jQ1olc","nope"]`), errGTTSReply},
		"payload is no base64":       {gttsReply(`["wrb.fr","jQ1olc","[\"%%%\"]"]`), errGTTSReply},
		"payload is an empty list":   {gttsReply(`["wrb.fr","jQ1olc","[]"]`), errGTTSReply},
		"payload is an empty string": {gttsReply(`["wrb.fr","jQ1olc","[\"\"]"]`), errGTTSReply},
		"other calls only":           {gttsReply(`["wrb.fr","other","[\"QUJD\"]"]`), errGTTSReply},
		"garbage after bracket":      {")]}'\n[garbage", errGTTSReply},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := readGTTSReply([]byte(test.reply))
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if test.want == nil && !bytes.Equal(got, sound) {
				t.Fatalf("sound %q, want %q", got, sound)
			}
			if test.want != nil && got != nil {
				t.Fatalf("sound %q together with an error", got)
			}
		})
	}
}

func FuzzReadGTTSReply(f *testing.F) {
	f.Add([]byte(gttsReply(gttsEntry([]byte("abcd")))))
	f.Add([]byte(gttsReply(`["wrb.fr","jQ1olc",null]`)))
	f.Add([]byte(")]}'\n3\n[[]]\n[1,[\"er\"]]"))
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, reply []byte) {
		sound, err := readGTTSReply(reply)
		if (err == nil) != (len(sound) > 0) {
			t.Fatalf("%d bytes of sound and error %v", len(sound), err)
		}
		known := err == nil || errors.Is(err, errGTTSRefused) || errors.Is(err, errGTTSPage) || errors.Is(err, errGTTSReply)
		if !known {
			t.Fatalf("error of no known kind: %v", err)
		}
	})
}

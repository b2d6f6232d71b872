package lifetime

import (
	"testing"
	"time"
)

func TestRetiredAddressesAreKnownInEverySpelling(t *testing.T) {
	for address, retired := range map[string]bool{
		"https://models.github.ai/inference":                true,
		"https://MODELS.GitHub.ai:443/inference":            true,
		"https://models.github.ai./inference":               true,
		"https://models.inference.ai.azure.com":             true,
		"https://image.pollinations.ai":                     true,
		"https://text.pollinations.ai/openai":               true,
		"https://auth.pollinations.ai":                      true,
		"https://gen.pollinations.ai/v1":                    false,
		"https://api.openai.com/v1":                         false,
		"https://r.openai.azure.com/openai/v1":              false,
		"http://127.0.0.1:8080/models.github.ai":            false,
		"https://models.github.ai.example.com/inference":    false,
		"https://github.example.com/?next=models.github.ai": false,
		"":  false,
		":": false,
	} {
		found, ok := RetiredAddress(address)
		if ok != retired || ok && (found.What == "" || found.Instead == "") {
			t.Errorf("%q: retired %v, %+v", address, ok, found)
		}
	}
}

func TestModelsEndOnTheirDay(t *testing.T) {
	today := day(2026, 11, 30)
	for _, test := range []struct {
		model, date string
		over        bool
	}{
		{"dall-e-3", "2026-05-12", true}, {"dall-e-2", "2026-05-12", true},
		{"gpt-image-1", "2026-10-23", true}, {"gpt-3.5-turbo", "2026-10-23", true}, {"gpt-3.5-turbo-0125", "2026-10-23", true},
		{"gpt-4", "2026-10-23", true}, {"gpt-4-0613", "2026-10-23", true}, {"o1", "2026-10-23", true}, {"o3-mini", "2026-10-23", true},
		{"o4-mini-2025-04-16", "2026-10-23", true}, {"gpt-4.1-nano", "2026-10-23", true},
		{"gpt-image-1-mini", "2026-12-01", false}, {"gpt-image-1.5", "2026-12-01", false}, {"chatgpt-image-latest", "2026-12-01", false},
		{"gpt-5", "2026-12-11", false}, {"gpt-5-nano", "2026-12-11", false}, {"o3", "2026-12-11", false},
		{"tts-1", "2027-01-06", false}, {"tts-1-hd", "2027-01-06", false}, {"gpt-4o-mini-tts", "2027-01-06", false},
		{"gpt-4o", "2027-01-14", false}, {"openai/gpt-4o-mini", "2027-01-14", false}, {"GPT-4o-2024-08-06", "2027-01-14", false},
		{"whisper-1", "2027-02-26", false}, {"gpt-5.1", "2027-04-01", false},
	} {
		end, known := ModelEnd(test.model)
		if !known || end.Date() != test.date || end.Over(today) != test.over || end.Instead == "" {
			t.Errorf("%s: %v %s over %v", test.model, known, end.Date(), end.Over(today))
		}
	}
	for _, model := range []string{"", "gpt-image-2", "gpt-image-2-2026-04-21", "gpt-6-luna", "gpt-5.2", "gpt-4x", "llama3", "my-gpt-4", "text-embedding-3-small"} {
		if end, known := ModelEnd(model); known {
			t.Errorf("%q is said to end on %s", model, end.Date())
		}
	}
}

func TestAModelIsGoneFromTheFirstMomentOfItsDay(t *testing.T) {
	end, _ := ModelEnd("gpt-image-1-mini")
	if end.Over(day(2026, 12, 1).Add(-time.Second)) || !end.Over(day(2026, 12, 1)) {
		t.Error("the day begins at another time")
	}
}

func TestWhoseAddressItIs(t *testing.T) {
	for address, want := range map[string][3]bool{ // OpenAI, Azure, nearby
		"https://api.openai.com/v1":                 {true, false, false},
		"https://eu.api.openai.com/v1":              {true, false, false},
		"https://api.openai.com.example.com/v1":     {},
		"https://r.openai.azure.com/openai/v1":      {false, true, false},
		"https://r.services.ai.azure.com/openai/v1": {false, true, false},
		"http://127.0.0.1:11434/v1":                 {false, false, true},
		"http://[::1]:8080/v1":                      {false, false, true},
		"http://192.168.1.7:8080/v1":                {false, false, true},
		"http://localai:8080/v1":                    {false, false, true},
		"https://llm.example.com/v1":                {},
	} {
		if got := [3]bool{IsOpenAI(address), IsAzure(address), IsNearby(address)}; got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}

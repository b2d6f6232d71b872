package flite

// DefaultVoice is the clearest of the general voices.
const DefaultVoice = "slt"

// Voice describes one speaker.
type Voice struct {
	ID       string
	Name     string
	Gender   string // "female" or "male"
	Language string // BCP 47
	// SampleRate of its speech in hertz.
	SampleRate int
	// Domain is empty for a voice that speaks anything. "clock" marks one recorded to tell
	// the time ("The time is now, exactly five past one, in the morning."): other words come out wrong,
	// and its speed is fixed.
	Domain string
}

var voices = []Voice{
	{ID: "slt", Name: "SLT", Gender: "female", Language: "en-US", SampleRate: 16000},
	{ID: "rms", Name: "RMS", Gender: "male", Language: "en-US", SampleRate: 16000},
	{ID: "awb", Name: "AWB", Gender: "male", Language: "en-GB", SampleRate: 16000},
	{ID: "kal", Name: "Kal, 8 kHz", Gender: "male", Language: "en-US", SampleRate: 8000},
	{ID: "kal16", Name: "Kal, 16 kHz", Gender: "male", Language: "en-US", SampleRate: 16000},
	{ID: "awb_time", Name: "AWB, talking clock", Gender: "male", Language: "en-GB", SampleRate: 16000, Domain: "clock"},
}

// Voices lists the voices of this engine, the default first, built in or not.
func (e *Engine) Voices() []Voice {
	return append([]Voice(nil), voices...)
}

// findVoice finds by id; an empty id is the default voice.
func findVoice(id string) (Voice, bool) {
	if id == "" {
		id = DefaultVoice
	}
	for _, v := range voices {
		if v.ID == id {
			return v, true
		}
	}
	return Voice{}, false
}

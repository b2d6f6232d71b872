package probe

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
)

// Model is one that a provider lists.
type Model struct {
	ID      string
	Aliases []string
	Ends    time.Time // when the provider will shut it down; zero = not said
}

// Models are those that a provider lists.
type Models []Model

// Find returns the listed model that a request naming id reaches. A name
// without a tag means the tag "latest", as servers of local models have it.
func (m Models) Find(id string) (Model, bool) {
	for _, model := range m {
		if model.ID == id || slices.Contains(model.Aliases, id) || !strings.Contains(id, ":") && model.ID == id+":latest" {
			return model, true
		}
	}
	return Model{}, false
}

var errNoList = errors.New("no list of models")

// parseModels reads the usual shapes: an object with the list in "data",
// "models" or, of services that have voices instead, "voices", or the list alone.
func parseModels(data []byte) (Models, error) {
	var list []listed
	if json.Unmarshal(data, &list) == nil && list != nil {
		return modelsOf(list), nil
	}
	var outer struct {
		Data   []listed `json:"data"`
		Models []listed `json:"models"`
		Voices []listed `json:"voices"`
	}
	if err := json.Unmarshal(data, &outer); err != nil {
		return nil, errNoList
	}
	if outer.Data != nil {
		return modelsOf(outer.Data), nil
	}
	if outer.Models != nil {
		return modelsOf(outer.Models), nil
	}
	if outer.Voices != nil {
		return modelsOf(outer.Voices), nil
	}
	return nil, errNoList
}

// parseMembers reads an object of which each member is named after what it describes.
func parseMembers(data []byte) (Models, error) {
	var members map[string]map[string]any
	if json.Unmarshal(data, &members) != nil || members == nil {
		return nil, errNoList
	}
	models := make(Models, 0, len(members))
	for name := range members {
		models = append(models, Model{ID: name})
	}
	return models, nil
}

// listed is an entry of a list: a name, or an object that has one.
type listed struct {
	id      string
	aliases []string
	ends    string
}

// UnmarshalJSON reads an entry of a list.
func (l *listed) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &l.id) == nil {
		return nil
	}
	var entry struct {
		ID      string   `json:"id"`
		Name    string   `json:"name"`
		Aliases []string `json:"aliases"`
		File    string   `json:"model_name"` // of AUTOMATIC1111's web UI, with its hash in "title"
		Title   string   `json:"title"`
		Ends    any      `json:"shutdown_date"` // a date, null, or whatever a server makes of it
	}
	if err := json.Unmarshal(data, &entry); err != nil {
		return err
	}
	l.id, l.aliases = entry.ID, entry.Aliases
	if l.id == "" {
		l.id = entry.Name
	}
	if l.id == "" && entry.File != "" {
		file, _, _ := strings.Cut(entry.Title, " [")
		l.id, l.aliases = entry.File, []string{entry.Title, file}
	}
	l.ends, _ = entry.Ends.(string)
	return nil
}

func modelsOf(list []listed) Models {
	models := make(Models, 0, len(list))
	for _, entry := range list {
		model := Model{ID: entry.id, Aliases: entry.aliases}
		if ends, err := time.Parse(time.DateOnly, entry.ends); err == nil {
			model.Ends = ends
		}
		models = append(models, model)
	}
	return models
}

package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/lifetime"
	"llmhist/platform/probe"
)

// judgeSilence says what a provider's failure to list its models means and whom
// it asks to act. The faults of package outbound hold no words of the provider.
func (l providerLine) judgeSilence(err error) finding {
	settings := l.endpoint.Settings
	refuse := func(detail, action string) finding { return failed(areaProvider, l.label(), detail, action) }
	host := hostIn(l.endpoint.BaseURL)
	switch fault.CodeOf(err) {
	case "provider_credentials_refused":
		if !l.endpoint.HasKey {
			return refuse(host+" wants a key, and none is set", "Set "+settings.Key+".")
		}
		return refuse(host+" refused the key", "Set "+settings.Key+" to a valid one.")
	case "provider_forbidden":
		return refuse(host+" does not allow this with this key", "Give the key of "+settings.Key+" more rights, or set another one.")
	case "provider_out_of_credit":
		return refuse(host+" has no credit left for this key", "Top it up there, or set "+settings.Key+" to another one.")
	case "provider_retired":
		return refuse(host+" says that it has been retired", "Set "+settings.Address+" to another service.")
	case "provider_redirected":
		return refuse(host+" redirects elsewhere, which is not followed", "Set "+settings.Address+" to where the service is now.")
	case "provider_model_not_found":
		action := cmp.Or(l.endpoint.NoList, "Check "+settings.Address+": most services want it to end in /v1. A service without a list of models cannot be asked without generating.")
		return warned(areaProvider, l.label(), "answers, but lists no "+l.nouns()+" at "+host+listPath(l.endpoint), action)
	case "provider_rate_limited":
		return warned(areaProvider, l.label(), host+" is limiting requests right now", "Ask again later.")
	case "provider_bad_answer", "provider_answer_too_large", "provider_cut_off":
		return refuse(host+" answers, but not with a list of "+l.nouns(), "Check "+settings.Address+": it may be the address of a web page.")
	case "provider_timeout":
		return refuse(host+" did not answer within 10 seconds", "Check "+settings.Address+", and that it runs.")
	case "provider_unavailable":
		return refuse(host+" cannot be reached or has a fault right now", "Check "+settings.Address+", and that it runs.")
	default:
		return l.judgeOther(err)
	}
}

// judgeOther is for faults that say nothing of the provider, or nothing that is
// understood.
func (l providerLine) judgeOther(err error) finding {
	var known *fault.Error
	if errors.As(err, &known) {
		return failed(areaProvider, l.label(), known.Detail, "Check "+l.endpoint.Settings.Address+".")
	}
	return skipped(areaProvider, l.label(), "not asked to the end: the time was over")
}

// nouns returns what the provider lists.
func (l providerLine) nouns() string { return cmp.Or(l.endpoint.Noun, "models") }

// listPath returns the path of an endpoint's list.
func listPath(endpoint *probe.Endpoint) string {
	_, rest, _ := strings.Cut(endpoint.ListURL, "://")
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		return rest[slash:]
	}
	return ""
}

// judgeList holds the configured models against those that a provider lists.
// The names it lists are not repeated: they are the words of another.
func (l providerLine) judgeList(models probe.Models, now time.Time) []finding {
	accepted := "answered and took the key"
	switch {
	case l.endpoint.OpenList:
		accepted = "answered, to everyone, so that the key was not tried"
	case !l.endpoint.HasKey:
		accepted = "answered without a key"
	}
	if lifetime.IsAzure(l.endpoint.BaseURL) { // it lists what can be deployed, not how the deployments are called
		return []finding{fine(areaProvider, l.label(), accepted+"; whether the deployments exist it does not say")}
	}
	list := []finding{}
	for _, id := range l.endpoint.Models {
		list = append(list, l.judgeListed(id, models, now)...)
	}
	if len(list) == 0 {
		list = append(list, fine(areaProvider, l.label(), fmt.Sprintf("%s; all configured %s are among the %d it lists", accepted, l.nouns(), len(models))))
	}
	return list
}

func (l providerLine) judgeListed(id string, models probe.Models, now time.Time) []finding {
	noun := strings.TrimSuffix(l.nouns(), "s")
	action := "Change " + l.endpoint.ModelSetting(id) + " to another " + noun + " that it lists."
	model, listed := models.Find(id)
	switch {
	case !listed && lifetime.IsOpenAI(l.endpoint.BaseURL):
		return []finding{failed(areaProvider, l.label(), "answered, and does not list the "+noun+" "+id, action)}
	case !listed:
		return []finding{warned(areaProvider, l.label(), fmt.Sprintf("answered, and does not list the %s %s among its %d", noun, id, len(models)), action)}
	case model.Ends.IsZero():
		return nil
	case !now.Before(model.Ends):
		return []finding{failed(areaProvider, l.label(), "says that it shut the model "+id+" down on "+model.Ends.Format(time.DateOnly), action)}
	default:
		return []finding{warned(areaProvider, l.label(), "says that it shuts the model "+id+" down on "+model.Ends.Format(time.DateOnly), action)}
	}
}

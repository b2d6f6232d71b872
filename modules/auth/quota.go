package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
)

// quotasChange is a change of quotas: a member that is left out stays, null
// lifts the limit.
type quotasChange struct {
	ChatPerDay   *int64 `json:"chat_per_day,omitempty" minimum:"0" doc:"Chat answers per UTC day; null = unlimited."`
	ImagePerDay  *int64 `json:"image_per_day,omitempty" minimum:"0" doc:"Images per UTC day; null = unlimited."`
	SpeechPerDay *int64 `json:"speech_per_day,omitempty" minimum:"0" doc:"Speech conversions per UTC day; null = unlimited."`

	present map[string]json.RawMessage
}

// UnmarshalJSON keeps which members there were, so that null and absence
// differ, and takes them by their exact names: encoding/json would take
// "Chat_Per_Day" for chat_per_day.
func (c *quotasChange) UnmarshalJSON(data []byte) error {
	c.present = map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &c.present); err != nil {
		return err
	}
	limits := map[string]**int64{"chat_per_day": &c.ChatPerDay, "image_per_day": &c.ImagePerDay, "speech_per_day": &c.SpeechPerDay}
	for name, value := range c.present {
		limit, known := limits[name]
		if !known {
			return fmt.Errorf("unknown quota %q", name)
		}
		if err := json.Unmarshal(value, limit); err != nil {
			return err
		}
	}
	return nil
}

func (c *quotasChange) check(fields *fault.Fields) {
	if c == nil {
		return
	}
	check := func(name string, limit *int64) {
		fields.Check(limit == nil || *limit >= 0, "quotas."+name, "out_of_range", "must be 0 or more, or null for unlimited")
	}
	check("chat_per_day", c.ChatPerDay)
	check("image_per_day", c.ImagePerDay)
	check("speech_per_day", c.SpeechPerDay)
}

func (c *quotasChange) apply(q Quotas) Quotas {
	if c == nil {
		return q
	}
	set := func(name string, target **int64, limit *int64) {
		if _, ok := c.present[name]; ok {
			*target = limit
		}
	}
	set("chat_per_day", &q.ChatPerDay, c.ChatPerDay)
	set("image_per_day", &q.ImagePerDay, c.ImagePerDay)
	set("speech_per_day", &q.SpeechPerDay, c.SpeechPerDay)
	return q
}

// dayLayout names a UTC day.
const dayLayout = "2006-01-02"

// ChargeQuota counts one request of the caller against the account's quota of
// the service ("chat", "image", "speech"). A caller without an account or
// without such a quota costs nothing. A quota that is used up is RateLimited
// with code "quota_exceeded" until the next UTC midnight. A request that is
// charged and fails later stays charged.
func (s *service) ChargeQuota(ctx context.Context, caller identity.Identity, service string) error {
	if caller.Anonymous() {
		return nil
	}
	quotas, err := s.gate.quotasOf(ctx, caller.UserID)
	if fault.Is(err, fault.NotFound) {
		return sessionRevoked() // the account went away after the credential was checked
	}
	if err != nil {
		return err
	}
	limit := quotas.of(service)
	if limit == nil {
		return nil
	}
	now := s.now()
	charged, err := s.quotas.ChargeQuota(ctx, Charge{UserID: caller.UserID, Day: now.Format(dayLayout), Service: service, Limit: *limit})
	if err != nil || charged {
		return err
	}
	midnight := now.Truncate(24 * time.Hour).Add(24 * time.Hour)
	return &fault.Error{
		Kind: fault.RateLimited, Code: "quota_exceeded", RetryAfter: midnight.Sub(now),
		Detail: fmt.Sprintf("This account may make %d %s requests a day and has made them. The next day begins at %s.",
			*limit, service, midnight.Format(time.RFC3339)),
	}
}

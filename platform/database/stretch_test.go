package database_test

import (
	"slices"
	"testing"

	"llmhist/platform/database"
)

func TestAStretchReachesTheRowsOfItsPage(t *testing.T) {
	for total := range 12 {
		list := make([]int, total)
		for i := range list {
			list[i] = i
		}
		for offset := range total + 3 {
			for limit := 1; limit < 5; limit++ {
				s := database.StretchOf(offset, limit, int64(total))
				from := slices.Clone(list)
				if s.Backward {
					slices.Reverse(from)
				}
				got := slices.Clone(from[s.Skip : s.Skip+s.Take])
				if s.Backward {
					slices.Reverse(got)
				}
				want := list[min(offset, total):min(offset+limit, total)]
				if !slices.Equal(got, want) {
					t.Errorf("%d after %d of %d: %+v reaches %v", limit, offset, total, s, got)
				}
				if s.Skip > total/2 {
					t.Errorf("%d after %d of %d: %d are passed over", limit, offset, total, s.Skip)
				}
			}
		}
	}
}

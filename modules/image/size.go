package image

import (
	"errors"
	"fmt"
	"strings"
)

// The sides a picture may have, in pixels. The largest picture is 4 Mpx.
const (
	minSide = 64
	maxSide = 2048
)

var (
	errSizeForm  = errors.New("must be a width and a height in pixels such as 512x512")
	errSizeRange = fmt.Errorf("each side must be %d to %d pixels", minSide, maxSide)
)

// ParseSize reads "WxH": two decimal numbers without sign, space or leading
// zero, each 64 to 2048.
func ParseSize(text string) (Size, error) {
	first, second, found := strings.Cut(text, "x")
	if !found {
		return Size{}, errSizeForm
	}
	width, widthErr := parseSide(first)
	height, heightErr := parseSide(second)
	if errors.Is(widthErr, errSizeForm) || errors.Is(heightErr, errSizeForm) {
		return Size{}, errSizeForm
	}
	if err := errors.Join(widthErr, heightErr); err != nil {
		return Size{}, errSizeRange
	}
	return Size{Width: width, Height: height}, nil
}

// parseSide reads one side. Any number of digits is a number, however absurd.
func parseSide(text string) (int, error) {
	if text == "" || text[0] == '0' && len(text) > 1 {
		return 0, errSizeForm
	}
	side := 0
	for i := range len(text) {
		digit := text[i] - '0'
		if digit > 9 {
			return 0, errSizeForm
		}
		side = min(side*10+int(digit), maxSide+1)
	}
	if side < minSide || side > maxSide {
		return 0, errSizeRange
	}
	return side, nil
}

package canvas

import (
	"image"
	"strings"
)

// Caption is what the corner of every picture at least 128 pixels wide says.
const Caption = "local/canvas · procedural"

const captionMinWidth = 128

// glyphs are the caption's letters, seven rows each, # for ink. Rows are split by spaces.
var glyphs = map[rune]string{
	'a': ".... .... .##. ...# .### #..# .###",
	'c': ".... .... .### #... #... #... .###",
	'd': "...# ...# .### #..# #..# #..# .###",
	'e': ".... .... .##. #..# #### #... .###",
	'l': "# # # # # # #",
	'n': ".... .... ###. #..# #..# #..# #..#",
	'o': ".... .... .##. #..# #..# #..# .##.",
	'p': ".... .... ###. #..# #..# ###. #... #...",
	'r': "... ... #.# ##. #.. #.. #..",
	's': ".... .... .### #... .##. ...# ###.",
	'u': ".... .... #..# #..# #..# #..# .###",
	'v': "..... ..... #...# #...# .#.#. .#.#. ..#..",
	'/': "..# ..# .#. .#. .#. #.. #..",
	'·': ". . . # . . .",
	' ': ".. .. .. .. .. .. ..",
}

// drawCaption writes the caption into the lower right corner, light with a soft shadow, or dark
// where the picture is light.
func drawCaption(m *image.NRGBA) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	if w < captionMinWidth || h < 48 {
		return
	}
	scale := max(1, min(w, h)/480)
	width := captionWidth() * scale
	margin := max(3, min(w, h)/64)
	x, y := w-width-margin, h-9*scale-margin+scale
	text, shadow := ink{255, 255, 255, 190}, ink{0, 0, 0, 70}
	if brightness(m, image.Rect(x, y, x+width, y+8*scale)) > 150 {
		text, shadow = ink{0, 0, 0, 150}, ink{255, 255, 255, 60}
	}
	for _, at := range [][2]int{{1, 1}, {-1, 0}, {0, -1}} {
		stampText(m, x+at[0]*scale, y+at[1]*scale, scale, shadow)
	}
	stampText(m, x, y, scale, text)
}

// brightness is the mean luma of a part of the picture, 0..255.
func brightness(m *image.NRGBA, part image.Rectangle) int {
	part = part.Intersect(m.Rect)
	sum, count := 0, 1
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			p := m.Pix[m.PixOffset(x, y):][:3]
			sum += (299*int(p[0]) + 587*int(p[1]) + 114*int(p[2])) / 1000
			count++
		}
	}
	return sum / count
}

// captionWidth is in font pixels.
func captionWidth() int {
	width := 0
	for _, r := range Caption {
		width += strings.Index(glyphs[r], " ") + 1
	}
	return width - 1
}

// ink is a colour with its weight out of 255.
type ink struct{ r, g, b, weight int }

func stampText(m *image.NRGBA, x, y, scale int, c ink) {
	for _, r := range Caption {
		rows := strings.Split(glyphs[r], " ")
		for j, row := range rows {
			for i := range len(row) {
				if row[i] == '#' {
					stampDot(m, image.Rect(x+i*scale, y+j*scale, x+(i+1)*scale, y+(j+1)*scale), c)
				}
			}
		}
		x += (len(rows[0]) + 1) * scale
	}
}

func stampDot(m *image.NRGBA, dot image.Rectangle, c ink) {
	dot = dot.Intersect(m.Rect)
	for y := dot.Min.Y; y < dot.Max.Y; y++ {
		for x := dot.Min.X; x < dot.Max.X; x++ {
			p := m.Pix[m.PixOffset(x, y):][:3]
			for i, v := range [3]int{c.r, c.g, c.b} {
				p[i] = uint8((int(p[i])*(255-c.weight) + v*c.weight) / 255)
			}
		}
	}
}

package console_test

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"slices"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// tallest is the height in pixels at which a picture is cut: the rest of a long page is more of the same.
const tallest = 2000

// screenshot stores a picture of the page with at most 256 colours, which is a third of the size. Pages have few colours, and the shades of their
// letters.
func (b desktop) screenshot(path string) {
	b.T.Helper()
	var size struct{ Width, Height int64 }
	b.Do(chromedp.Evaluate(`({width: innerWidth, height: document.documentElement.scrollHeight})`, &size))
	// A window of the page's height: in a smaller one, the bar at the bottom of a phone would be in the middle of the picture.
	var whole []byte
	b.Do(emulation.SetDeviceMetricsOverride(size.Width, min(size.Height, tallest), 1, size.Width < 500), chromedp.CaptureScreenshot(&whole))
	picture, err := png.Decode(bytes.NewReader(whole))
	if err != nil {
		b.T.Fatal(err)
	}
	few := image.NewPaletted(picture.Bounds(), palette(picture))
	draw.Draw(few, picture.Bounds(), picture, picture.Bounds().Min, draw.Src) // to the nearest colour
	var small bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, few); err != nil {
		b.T.Fatal(err)
	}
	if err := os.WriteFile(path, small.Bytes(), 0o600); err != nil {
		b.T.Fatal(err)
	}
}

// palette returns the most frequent colours.
func palette(picture image.Image) color.Palette {
	times, size := map[color.RGBA]int{}, picture.Bounds()
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			times[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	var colours []color.RGBA
	for c := range times {
		colours = append(colours, c)
	}
	slices.SortFunc(colours, func(a, b color.RGBA) int {
		return cmp.Or(times[b]-times[a], cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	var all color.Palette
	for _, c := range colours[:min(len(colours), 256)] {
		all = append(all, c)
	}
	return all
}

package codec_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// words are what product texts are made of; the first are the most frequent.
var words = strings.Fields(`the and with for your of a in to is made from comfort light every day soft cotton water
	resistant durable designed new classic fit steel range perfect home outdoor travel kitchen garden battery wireless
	premium leather recycled adjustable compact quick dry charging handle surface finish natural oak matte black ceramic
	insulated bottle jacket running shoe trail lamp desk chair cable speaker sensor breathable waterproof lining pocket
	zip sole grip weight warranty machine washable stainless bamboo linen wool merino storage foldable portable
	ergonomic rechargeable dimmable scratch heat proof safe family camping hiking office studio vintage modern minimal
	Scandinavian handcrafted organic certified sustainable packaging delivered tested independent laboratory`)

// page returns a page as Next.js renders a category of a shop, at least size bytes long and always the same for a seed:
// HTML with one card for each product, and then the same products once more as the payload for the browser.
func page(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var html, data strings.Builder
	html.WriteString(pageHead)
	for i := 0; html.Len()+data.Len() < size; i++ {
		p := product{
			id: hexDigits(r, 12), slug: sentence(r, 3), name: sentence(r, 4), text: sentence(r, 20+r.IntN(30)),
			cents: 500 + r.IntN(50000), stars: r.IntN(50), reviews: r.IntN(4000), stock: r.IntN(100),
		}
		p.slug = strings.ReplaceAll(strings.ToLower(p.slug), " ", "-")
		p.html(&html)
		p.data(&data, i)
	}
	fmt.Fprintf(&html, "</ul></main><footer class=\"mt-16 border-t py-8 text-sm text-gray-500\">%s</footer>", sentence(r, 40))
	fmt.Fprintf(&html, "<script>self.__next_f.push([1,\"%s\"])</script></body></html>", data.String())
	return []byte(html.String())
}

const pageHead = `<!DOCTYPE html><html lang="en"><head><meta charSet="utf-8"/><meta name="viewport" content="width=device-width, ` +
	`initial-scale=1"/><link rel="stylesheet" href="/_next/static/css/6f1c0a7b9d2e4c35.css" data-precedence="next"/>` +
	`<script src="/_next/static/chunks/webpack-0b1f6c0f3a5d7e21.js" async=""></script><title>Shop</title></head>` +
	`<body class="bg-white text-gray-900 antialiased"><main class="mx-auto max-w-7xl px-4 sm:px-6 lg:px-8"><ul class="grid gap-6">`

type product struct {
	id, slug, name, text         string
	cents, stars, reviews, stock int
}

func (p product) html(w *strings.Builder) {
	fmt.Fprintf(w, `<li class="group relative rounded-lg border border-gray-200 p-4" data-id="%s"><a href="/products/%s-%s">`+
		`<img alt="%s" loading="lazy" width="320" height="320" decoding="async" class="aspect-square object-cover" `+
		`srcSet="/_next/image?url=%%2Fimg%%2F%s.jpg&amp;w=384&amp;q=75 1x, /_next/image?url=%%2Fimg%%2F%s.jpg&amp;w=640&amp;q=75 2x"/>`+
		`<h3 class="mt-4 text-sm font-medium text-gray-700">%s</h3></a><p class="mt-1 text-sm text-gray-500">%s</p>`+
		`<p class="text-lg font-semibold">$%d.%02d</p><span class="text-xs text-gray-400">%d.%d (%d)</span></li>`,
		p.id, p.slug, p.id[:6], p.name, p.id, p.id, p.name, p.text, p.cents/100, p.cents%100, p.stars/10, p.stars%10, p.reviews)
}

func (p product) data(w *strings.Builder, i int) {
	fmt.Fprintf(w, `%x:[\"$\",\"$L1c\",\"%s\",{\"product\":{\"id\":\"%s\",\"slug\":\"%s-%s\",\"name\":\"%s\",`+
		`\"description\":\"%s\",\"priceCents\":%d,\"rating\":%d.%d,\"reviews\":%d,\"stock\":%d}}]\n`,
		i+32, p.id, p.id, p.slug, p.id[:6], p.name, p.text, p.cents, p.stars/10, p.stars%10, p.reviews, p.stock)
}

// sentence returns n words, frequent ones more often.
func sentence(r *rand.Rand, n int) string {
	out := make([]string, n)
	for i := range out {
		f := r.Float64()
		out[i] = words[int(f*f*float64(len(words)))]
	}
	return strings.Join(out, " ")
}

func hexDigits(r *rand.Rand, digits int) string {
	s := strconv.FormatUint(r.Uint64()|1<<63, 16)
	return s[len(s)-digits:]
}

package cache

import "context"

// Lister is a store that can name its entries.
type Lister interface {
	// List calls each for the entries that opt selects, in no order, some perhaps more than once, until each says false.
	// What is written or removed meanwhile may be missing. Nothing is read at once, and no bodies. The error wraps
	// ErrUnavailable if the store could not be asked.
	List(ctx context.Context, opt ListOptions, each func(Listed) bool) error
}

// ListOptions select entries.
type ListOptions struct {
	// App owns them.
	App string
	// Build scopes them, in Route; empty: every build.
	Build string
	// Space is their key space.
	Space Space
}

// Selects reports whether an entry with that key is asked for.
func (o ListOptions) Selects(k Key) bool {
	return k.App == o.App && k.Space == o.Space && (o.Build == "" || o.Space != Route || k.Build == o.Build)
}

// Listed describes an entry without its body.
type Listed struct {
	// Key names it.
	Key Key
	// Lifetime is the entry's.
	Lifetime Lifetime
	// Meta is the entry's; nil where it was too long to be read.
	Meta []byte
}

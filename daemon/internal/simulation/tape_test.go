package simulation_test

import "github.com/isrd/isrd/daemon/internal/redisstore"

// tape is what Redis was asked and what the model answered.
type tape struct{ turns []turn }

// turn is one script, or something that happened to the keys.
type turn struct {
	script redisstore.Script
}

func (t *tape) before(*script, redisstore.Script) {}
func (t *tape) after([]any)                       {}
func (t *tape) replaced(map[string]*stored)       {}
func (t *tape) snapshot()                         {}

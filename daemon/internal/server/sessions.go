package server

import (
	"sync"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
)

// sessions are those that are open, one for each Next.js process. The zero value is ready.
type sessions struct {
	mu   sync.Mutex
	open map[*session]struct{}
}

func (s *sessions) add(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[*session]struct{})
	}
	s.open[ss] = struct{}{}
}

func (s *sessions) remove(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, ss)
}

// holding finds the session that has the lease with that token, for a call that came beside it; nil: there is none.
func (s *sessions) holding(k *isrdv1.Key, token uint64) *session {
	key, err := unary.key(k)
	if err != nil || token == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for ss := range s.open {
		if ss.holds(key.ID(), token) {
			return ss
		}
	}
	return nil
}

// holds reports whether the session has the lease with that token.
func (ss *session) holds(id cache.ID, token uint64) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.leases.keys[id].token == token
}

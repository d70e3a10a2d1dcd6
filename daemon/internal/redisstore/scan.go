package redisstore

import (
	"context"
	"errors"
	"sync"

	"github.com/redis/go-redis/v9"
)

var _ Scanner = client{}

// scanStep is how many keys Redis looks at in one step, which holds up everybody else: some tens of microseconds.
const scanStep = 200

// Scan implements Scanner. Of a cluster, it goes through the masters one after the other.
func (c client) Scan(ctx context.Context, pattern string, first int, each func(key string, value []byte) error) error {
	nodes, err := c.nodes(ctx)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if err := scanNode(ctx, node, pattern, first, each); err != nil {
			return err
		}
	}
	return nil
}

// nodes gives whoever has keys of its own.
func (c client) nodes(ctx context.Context) ([]redis.UniversalClient, error) {
	cluster, ok := c.UniversalClient.(*redis.ClusterClient)
	if !ok {
		return []redis.UniversalClient{c.UniversalClient}, nil
	}
	var (
		mu    sync.Mutex
		nodes []redis.UniversalClient
	)
	err := cluster.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		nodes = append(nodes, node)
		return nil
	})
	return nodes, classify(err)
}

func scanNode(ctx context.Context, node redis.UniversalClient, pattern string, first int, each func(string, []byte) error) error {
	var cursor uint64
	for {
		keys, next, err := node.Scan(ctx, cursor, pattern, scanStep).Result()
		if err != nil {
			return classify(err)
		}
		if err := beginnings(ctx, node, keys, first, each); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// beginnings reads the first bytes of some keys. One that has another type by now, or has moved to another node, is
// left out.
func beginnings(ctx context.Context, node redis.UniversalClient, keys []string, first int, each func(string, []byte) error) error {
	if len(keys) == 0 {
		return nil
	}
	pipe := node.Pipeline()
	values := make([]*redis.StringCmd, len(keys))
	for i, key := range keys {
		values[i] = pipe.GetRange(ctx, key, 0, int64(first)-1)
	}
	_, err := pipe.Exec(ctx)
	var answer redis.Error
	if err != nil && !errors.As(err, &answer) {
		return classify(err)
	}
	for i, value := range values {
		if b, err := value.Bytes(); err == nil {
			if err := each(keys[i], b); err != nil {
				return err
			}
		}
	}
	return nil
}

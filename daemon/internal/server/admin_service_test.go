package server_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/memstore"
	"github.com/isrd/isrd/daemon/internal/server"
)

// listed starts a daemon whose list has that many pages of app "a".
func listed(t *testing.T, cfg server.Config, pages int) isrdv1.AdminServiceClient {
	t.Helper()
	store, err := memstore.New(memstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	meta, err := proto.Marshal(&isrdv1.Entry{Kind: isrdv1.Kind_KIND_APP_PAGE, Status: proto.Uint32(404)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range pages {
		k := cache.Key{App: "a", Build: "b", Space: cache.Route, Name: fmt.Sprintf("/%d", i)}
		e := &cache.Entry{Key: k, Version: cache.Version{Token: 1}, Lifetime: cache.Lifetime{Revalidate: 60e9, Expire: cache.Unlimited}, Meta: meta}
		if _, err := store.Write(t.Context(), e, cache.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Lister = store
	return isrdv1.NewAdminServiceClient(start(t, cfg).conn)
}

func listKeys(t *testing.T, client isrdv1.AdminServiceClient, token string, r *isrdv1.ListKeysRequest) (keys []*isrdv1.ListedKey, truncated bool, err error) {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
	stream, err := client.ListKeys(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return keys, truncated, nil
		}
		if err != nil {
			return keys, truncated, err //nolint:wrapcheck // the test looks at its status
		}
		keys, truncated = append(keys, m.GetKeys()...), m.GetTruncated()
	}
}

func TestListKeys(t *testing.T) {
	client := listed(t, server.Config{}, 1200)
	keys, truncated, err := listKeys(t, client, "", &isrdv1.ListKeysRequest{App: "a", Space: isrdv1.Space_SPACE_ROUTE})
	if err != nil || truncated || len(keys) != 1200 {
		t.Fatalf("%d keys, truncated %v, error %v; want all 1200", len(keys), truncated, err)
	}
	want := &isrdv1.ListedKey{
		Name: keys[0].GetName(), Kind: isrdv1.Kind_KIND_APP_PAGE, Status: proto.Uint32(404),
		Lifetime: &isrdv1.Lifetime{RevalidateSeconds: proto.Uint32(60)},
	}
	if !proto.Equal(keys[0], want) {
		t.Errorf("got %v, want %v", keys[0], want)
	}

	keys, truncated, err = listKeys(t, client, "", &isrdv1.ListKeysRequest{App: "a", Space: isrdv1.Space_SPACE_ROUTE, Limit: 500})
	if err != nil || !truncated || len(keys) != 500 {
		t.Errorf("%d keys, truncated %v, error %v; want 500 and that there are more", len(keys), truncated, err)
	}

	request := &isrdv1.ListKeysRequest{App: "a", Space: isrdv1.Space_SPACE_ROUTE, Build: &isrdv1.Build{BuildId: "other"}}
	if keys, _, err = listKeys(t, client, "", request); err != nil || len(keys) != 0 {
		t.Errorf("of another build: %d keys, error %v", len(keys), err)
	}
}

func TestListKeysRefuses(t *testing.T) {
	client := listed(t, server.Config{Token: "secret", Apps: []string{"a"}}, 1)
	route := isrdv1.Space_SPACE_ROUTE
	for _, test := range []struct {
		name, token string
		request     *isrdv1.ListKeysRequest
		want        codes.Code
	}{
		{"nothing", "secret", &isrdv1.ListKeysRequest{App: "a", Space: route}, codes.OK},
		{"a wrong token", "guess", &isrdv1.ListKeysRequest{App: "a", Space: route}, codes.Unauthenticated},
		{"another app", "secret", &isrdv1.ListKeysRequest{App: "b", Space: route}, codes.PermissionDenied},
		{"no app", "secret", &isrdv1.ListKeysRequest{Space: route}, codes.InvalidArgument},
		{"no space", "secret", &isrdv1.ListKeysRequest{App: "a"}, codes.InvalidArgument},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, _, err := listKeys(t, client, test.token, test.request); status.Code(err) != test.want {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestTheMostReadPagesAreListed(t *testing.T) {
	o := startOffice(t, server.Config{RefreshHot: 1})
	n := o.hire(1)
	for name, reads := range map[string]int{"/index": 320, "/a": 160, "/b": 480} {
		n.set(route(name), n.get(&isrdv1.GetRequest{Key: route(name)}), page(name, "t"))
		for range reads {
			n.get(&isrdv1.GetRequest{Key: route(name)})
		}
	}
	client := isrdv1.NewAdminServiceClient(o.conn)
	request := &isrdv1.ListKeysRequest{App: "shop", Space: isrdv1.Space_SPACE_ROUTE, Order: isrdv1.ListOrder_LIST_ORDER_MOST_READ, Limit: 2}
	keys, truncated, err := listKeys(t, client, "", request)
	if err != nil || !truncated || len(keys) != 2 || keys[0].GetName() != "/b" || keys[1].GetName() != "/index" {
		t.Errorf("%v, truncated %v, %v", keys, truncated, err)
	}
	request.Build = &isrdv1.Build{BuildId: "another"}
	if keys, _, err := listKeys(t, client, "", request); err != nil || len(keys) != 0 {
		t.Errorf("of another build: %v, %v", keys, err)
	}
	request.Build, request.Space = nil, isrdv1.Space_SPACE_FETCH
	if _, _, err := listKeys(t, client, "", request); status.Code(err) != codes.InvalidArgument {
		t.Errorf("of data: %v", err)
	}
	request.App, request.Space = "a", isrdv1.Space_SPACE_ROUTE
	if _, _, err := listKeys(t, listed(t, server.Config{}, 1), "", request); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("where nobody counts: %v", err)
	}
}

package server

import (
	"fmt"
	"math"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/lease"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// What one call may name. Next.js itself allows 128 tags of 256 characters, beside those of the route.
const (
	maxTag   = 4 << 10
	maxTags  = 1 << 10
	maxMarks = 4 << 10
)

// tags checks a list of tags that came from outside.
func tags(field string, list []string) error {
	if len(list) > maxTags {
		return status.Errorf(codes.InvalidArgument, "%s has %d tags; the limit is %d", field, len(list), maxTags)
	}
	for i, t := range list {
		if len(t) > maxTag {
			return status.Errorf(codes.InvalidArgument, "%s[%d] has %d bytes; the limit is %d", field, i, len(t), maxTag)
		}
	}
	return nil
}

// caller is what a key leaves out because the session's hello said it.
type caller struct {
	app    string
	build  string
	holder string
}

// maxToken is where a Lua number would lose digits; as microseconds it is the year 2255.
const maxToken = 1 << 53

// buildScope joins the two names of a build, with the length of the first so that no two pairs give the same.
func buildScope(b *isrdv1.Build) string {
	if b.GetDeploymentId() == "" {
		return b.GetBuildId()
	}
	return fmt.Sprintf("%d:%s:%s", len(b.GetBuildId()), b.GetBuildId(), b.GetDeploymentId())
}

func (c caller) key(k *isrdv1.Key) (cache.Key, error) {
	out := cache.Key{App: k.GetApp(), Space: cache.Space(k.GetSpace()), Name: k.GetName()} //nolint:gosec // an unknown space is refused by Validate
	if k.GetSpace() < 0 || k.GetSpace() > math.MaxUint8 {
		out.Space = 0
	}
	if out.App == "" {
		out.App = c.app
	}
	if c.app != "" && out.App != c.app {
		return cache.Key{}, status.Errorf(codes.PermissionDenied, "key.app is %q, but the session belongs to %q; open a session for each app", out.App, c.app)
	}
	if out.Build = buildScope(k.GetBuild()); out.Build == "" {
		out.Build = c.build
	}
	return out, out.Validate()
}

func version(v *isrdv1.Version) cache.Version {
	return cache.Version{Epoch: v.GetEpoch(), Seq: v.GetSeq(), Token: v.GetToken()}
}

func wireVersion(v cache.Version) *isrdv1.Version {
	if v.IsZero() {
		return nil
	}
	return &isrdv1.Version{Epoch: v.Epoch, Seq: v.Seq, Token: v.Token}
}

func position(p *isrdv1.Position) tag.Position {
	return tag.Position{Epoch: p.GetEpoch(), Seq: p.GetSeq(), Nonce: p.GetNonce()}
}

func wirePosition(p tag.Position) *isrdv1.Position {
	return &isrdv1.Position{Epoch: p.Epoch, Seq: p.Seq, Nonce: p.Nonce}
}

// entry takes a message apart: what the cache decides by, the body, and the rest as opaque bytes. It uses up e.
func entry(k cache.Key, e *isrdv1.Entry, age time.Duration) (cache.Entry, error) {
	if e.GetKind() == isrdv1.Kind_KIND_UNSPECIFIED {
		return cache.Entry{}, status.Error(codes.InvalidArgument, "entry.kind is missing")
	}
	if err := tags("entry.tags", e.GetTags()); err != nil {
		return cache.Entry{}, err
	}
	out := cache.Entry{Key: k, Tags: e.GetTags(), Lifetime: lifetime(e.GetLifetime(), age), Parts: make([][]byte, len(e.GetParts()))}
	for i, p := range e.GetParts() {
		if same := int(p.GetSameAs()); same > i || same > 0 && len(p.GetData()) > 0 {
			return cache.Entry{}, status.Errorf(codes.InvalidArgument, "entry.parts[%d].same_as is %d: it must name an earlier part, and data must be empty", i, same)
		}
		out.Parts[i], p.Data = p.GetData(), nil
	}
	e.Tags = nil
	meta, err := proto.Marshal(e)
	if err != nil {
		return cache.Entry{}, status.Errorf(codes.InvalidArgument, "entry: %v", err)
	}
	out.Meta = meta
	return out, nil
}

// wireEntry puts a message together again; without body the parts have names only.
func wireEntry(e *cache.Entry, body bool) (*isrdv1.Entry, error) {
	out := new(isrdv1.Entry)
	if err := proto.Unmarshal(e.Meta, out); err != nil {
		return nil, fmt.Errorf("read description of %q: %w", e.Key.Name, err)
	}
	if len(out.GetParts()) != len(e.Parts) {
		return nil, fmt.Errorf("read description of %q: it names %d parts, there are %d", e.Key.Name, len(out.GetParts()), len(e.Parts))
	}
	out.Tags = e.Tags
	if body {
		for i, p := range out.GetParts() {
			p.Data = e.Parts[i]
		}
	}
	return out, nil
}

// lifetime is what is left of it for content of this age.
func lifetime(l *isrdv1.Lifetime, age time.Duration) cache.Lifetime {
	out := cache.Lifetime{Revalidate: cache.Unlimited, Expire: cache.Unlimited}
	if l != nil && l.RevalidateSeconds != nil {
		out.Revalidate = max(time.Duration(l.GetRevalidateSeconds())*time.Second-age, 0)
	}
	if l != nil && l.ExpireSeconds != nil {
		out.Expire = max(time.Duration(l.GetExpireSeconds())*time.Second-age, 0)
	}
	return out
}

func (c caller) getRequest(r *isrdv1.GetRequest) (cache.GetRequest, error) {
	k, err := c.key(r.GetKey())
	if err != nil {
		return cache.GetRequest{}, err
	}
	if err := tags("soft_tags", r.GetSoftTags()); err != nil {
		return cache.GetRequest{}, err
	}
	return cache.GetRequest{
		Key:       k,
		SoftTags:  r.GetSoftTags(),
		Held:      version(r.GetHeld()),
		Judged:    version(r.GetJudged()),
		OnDemand:  r.GetOnDemand(),
		NoLease:   r.GetNoLease(),
		AsOf:      position(r.GetAsOf()),
		WaitLimit: time.Duration(r.GetWaitLimitMs()) * time.Millisecond,
		Holder:    c.holder,
	}, nil
}

// wireAnswer gives the answer; a body above aside bytes is only announced (0: never).
func wireAnswer(a cache.Answer, aside int) (*isrdv1.GetResponse, error) {
	out := &isrdv1.GetResponse{
		Status:      isrdv1.Status(a.Status),
		Reason:      isrdv1.Reason(a.Reason),
		Base:        wireVersion(a.Base),
		AsOf:        wirePosition(a.AsOf),
		Unchanged:   a.Unchanged,
		Lease:       wireLease(a.Lease),
		LeaseLeftMs: millis(a.LeaseLeft),
	}
	if a.Entry == nil {
		return out, nil
	}
	size := a.Entry.BodySize()
	apart := aside > 0 && size > aside && !a.Unchanged
	e, err := wireEntry(a.Entry, !apart && !a.Unchanged)
	if err != nil {
		return nil, err
	}
	out.Entry, out.Version, out.AgeMs = e, wireVersion(a.Entry.Version), uint64(max(a.Age.Milliseconds(), 0))
	if apart {
		out.Aside = &isrdv1.Aside{Bytes: uint64(size)} //nolint:gosec // a length is not negative
	}
	return out, nil
}

func wireLease(l lease.Lease) *isrdv1.Lease {
	if l.Token == 0 {
		return nil
	}
	return &isrdv1.Lease{Token: l.Token, TtlMs: millis(l.TTL)}
}

func millis(d time.Duration) uint32 {
	return uint32(min(max(d.Milliseconds(), 0), math.MaxUint32)) //nolint:gosec // bounded on this line
}

func (c caller) setRequest(r *isrdv1.SetRequest) (cache.SetRequest, error) {
	k, err := c.key(r.GetKey())
	if err != nil {
		return cache.SetRequest{}, err
	}
	if r.GetBase() == nil && r.GetPosition() == nil {
		return cache.SetRequest{}, status.Error(codes.InvalidArgument, "base is missing: copy it from the answer of the get, so that it is known what the content is older than")
	}
	if r.GetBase().GetToken() > maxToken {
		return cache.SetRequest{}, status.Error(codes.InvalidArgument, "base.token is no token: copy base from the answer of the get")
	}
	if r.GetBuiltAtMs() < 0 || r.GetBuiltAtMs() > 0 && !r.GetOnlyIfAbsent() {
		return cache.SetRequest{}, status.Error(codes.InvalidArgument, "built_at_ms is a time, and goes with only_if_absent: what a build has rendered replaces nothing")
	}
	e, err := entry(k, r.GetEntry(), time.Duration(r.GetAgeMs())*time.Millisecond)
	if err != nil {
		return cache.SetRequest{}, err
	}
	return cache.SetRequest{
		Entry:        e,
		Base:         version(r.GetBase()),
		Position:     position(r.GetPosition()),
		Shared:       r.GetBase() != nil && r.GetPosition() != nil, // also where no log was known, and it is zero
		Lease:        r.GetLeaseToken(),
		Durable:      r.GetDurable(),
		OnlyIfAbsent: r.GetOnlyIfAbsent(),
		BuiltAt:      r.GetBuiltAtMs(),
	}, nil
}

func revalidations(rs []*isrdv1.Revalidation) ([]tag.Revalidation, error) {
	if len(rs) > maxMarks {
		return nil, status.Errorf(codes.InvalidArgument, "%d revalidations in one call; send at most %d", len(rs), maxMarks)
	}
	out := make([]tag.Revalidation, 0, len(rs))
	for i, r := range rs {
		if r.GetTag() == "" || len(r.GetTag()) > maxTag || r.GetTag()[0] == 0 { // tags that begin with a NUL stand for keys
			return nil, status.Errorf(codes.InvalidArgument, "revalidations[%d].tag must have 1 to %d bytes and not begin with a NUL", i, maxTag)
		}
		one := tag.Revalidation{Tag: r.GetTag(), Soft: r.ExpireSeconds != nil}
		if one.Soft {
			one.Expire = time.Duration(r.GetExpireSeconds()) * time.Second
		}
		out = append(out, one)
	}
	return out, nil
}

// wireEvent tells a client of an event. Marks of keys travel as hashes.
func wireEvent(e tag.Event) *isrdv1.Event {
	out := &isrdv1.Event{Position: wirePosition(e.Position)}
	for _, m := range e.Marks {
		if id, ok := cache.KeyOfTag(m.Tag); ok {
			out.KeyHashes = append(out.KeyHashes, id)
			continue
		}
		mark := &isrdv1.TagMark{Tag: m.Tag}
		if m.Soft {
			mark.ExpireAtMs = proto.Int64(m.ExpireAt)
		}
		out.Marks = append(out.Marks, mark)
	}
	return out
}

package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// auth says how a sender shows who it is: by any of the tokens, in one header, or by a signature with any of the secrets.
// With neither, nobody is asked.
type auth struct {
	tokens      [][]byte
	tokenHeader string
	secrets     [][]byte
	signature   signature
}

// signature is where a signature stands and what it covers: its time if it has one, the name of the delivery if the
// request has one and the scheme has a header for it, and the body, joined by dots.
type signature struct {
	header   string
	prefix   string // before each signature
	pairs    bool   // the header is "t=<time>,v1=<signature>"
	time     string // the header of the time; empty: it has none of its own
	delivery string // the header of the delivery's name; empty: there is none
	decode   func(string) ([]byte, error)
}

// The headers of the daemon's own scheme.
const (
	// SignatureHeader holds sha256=<hex>, or several with commas between.
	SignatureHeader = "X-Isrd-Signature"
	// TimestampHeader holds seconds since 1970.
	TimestampHeader = "X-Isrd-Timestamp"
	// DeliveryHeader names the delivery; it may be left out.
	DeliveryHeader = "X-Isrd-Delivery"
)

// maxDelivery bounds the name of a delivery.
const maxDelivery = 128

// ownAuth is that of the daemon's own scheme.
func ownAuth(secrets, tokens []string) auth {
	return auth{
		tokens: keys(tokens), tokenHeader: "Authorization", secrets: keys(secrets),
		signature: signature{header: SignatureHeader, prefix: "sha256=", time: TimestampHeader, delivery: DeliveryHeader, decode: hex.DecodeString},
	}
}

func keys(texts []string) [][]byte {
	var out [][]byte
	for _, t := range texts {
		if t != "" {
			out = append(out, []byte(t))
		}
	}
	return out
}

// shown is what a request's header shows of its sender.
type shown struct {
	auth     auth
	sure     bool // nothing more is needed
	macs     [][]byte
	before   string    // what is signed before the body
	sent     time.Time // zero: the scheme has no time
	delivery string    // what makes it one delivery; empty: it may come again
	mac      [sha256.Size]byte
}

// shown looks at the header only, which costs next to nothing.
func (a auth) shown(header http.Header, now time.Time, window time.Duration) (shown, error) {
	s := shown{auth: a}
	if a.open() {
		s.sure = true
		return s, nil
	}
	if len(a.tokens) > 0 {
		if token := header.Get(a.tokenHeader); token != "" {
			const scheme = "Bearer "
			if strings.EqualFold(a.tokenHeader, "Authorization") && len(token) >= len(scheme) && strings.EqualFold(token[:len(scheme)], scheme) {
				token = token[len(scheme):]
			}
			if !isOne([]byte(token), a.tokens) {
				return s, refuse(http.StatusUnauthorized, "unauthorized", "the token is wrong")
			}
			s.sure = true
			return s, nil
		}
	}
	if len(a.secrets) == 0 {
		return s, refuse(http.StatusUnauthorized, "unauthorized", "there is no token in the header %s", a.tokenHeader)
	}
	err := a.signature.shown(&s, header, now, window)
	return s, err
}

// open says that nobody is asked.
func (a auth) open() bool { return len(a.tokens) == 0 && len(a.secrets) == 0 }

// isLoopback reports whether a request was meant for this machine: the page of a site whose name leads here is not.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost" || net.ParseIP(strings.Trim(host, "[]")).IsLoopback()
}

// isOne compares with each of the keys in a time that does not depend on how far they are the same, or on their length.
func isOne(token []byte, keys [][]byte) bool {
	got, same := sha256.Sum256(token), 0
	for _, k := range keys {
		want := sha256.Sum256(k)
		same |= subtle.ConstantTimeCompare(got[:], want[:])
	}
	return same == 1
}

// shown reads the signature, its time and the delivery.
func (g signature) shown(s *shown, header http.Header, now time.Time, window time.Duration) error {
	sent, delivery := "", ""
	var texts []string
	for part := range strings.SplitSeq(strings.Join(header.Values(g.header), ","), ",") {
		part = strings.TrimSpace(part)
		if text, ok := strings.CutPrefix(part, "t="); ok && g.pairs {
			sent = text
		} else if text, ok := strings.CutPrefix(part, g.prefix); ok && text != "" {
			texts = append(texts, text)
		}
	}
	const most = 8 // signatures, of a sender that rotates its secrets
	for _, text := range texts[:min(len(texts), most)] {
		if mac, err := g.decode(text); err == nil {
			s.macs = append(s.macs, mac)
		}
	}
	if len(s.macs) == 0 {
		return refuse(http.StatusUnauthorized, "unauthorized", "there is no signature in the header %s", g.header)
	}
	if g.time != "" {
		sent = header.Get(g.time)
	}
	if g.time == "" && !g.pairs {
		return nil // the scheme has no time: the body is all that it covers
	}
	var err error
	if s.sent, err = inWindow(sent, now, window); err != nil {
		return err
	}
	if g.delivery != "" {
		delivery = header.Get(g.delivery)
	}
	switch {
	case g.pairs:
		// The time is in milliseconds, or the sender's own affair: the same signature is the same delivery.
		s.before, s.delivery = sent+".", "signed"
	case delivery == "":
		s.before = sent + "."
	case !isName(delivery):
		return refuse(http.StatusUnauthorized, "unauthorized", "%s may have 1 to %d letters, digits, - and _", g.delivery, maxDelivery)
	default:
		// No JSON object or array begins with such a name and a dot, so that name and body cannot be shifted into each other.
		s.before, s.delivery = sent+"."+delivery+".", delivery
	}
	return nil
}

// inWindow reads a time, in seconds or milliseconds since 1970, that is not too far from now.
func inWindow(text string, now time.Time, window time.Duration) (time.Time, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	const latest = 1 << 45 // about a thousand years of milliseconds
	if err != nil || n <= 0 || n > latest {
		return time.Time{}, refuse(http.StatusUnauthorized, "unauthorized", "the time of the signature is missing, or no number of seconds since 1970")
	}
	sent := time.Unix(n, 0)
	if n > 1e11 {
		sent = time.UnixMilli(n)
	}
	if d := now.Sub(sent); d > window || d < -window {
		return time.Time{}, refuse(http.StatusUnauthorized, "expired", "the signature is from %v; it counts for %v: sign it again, or set the clock", sent.UTC().Format(time.RFC3339), window)
	}
	return sent, nil
}

func isName(s string) bool {
	return len(s) > 0 && len(s) <= maxDelivery && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// verify compares the signature with what each secret makes of the body.
func (s *shown) verify(body []byte) error {
	if s.sure {
		return nil
	}
	same := 0
	for _, secret := range s.auth.secrets {
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(s.before))
		h.Write(body)
		mac := h.Sum(nil)
		for _, got := range s.macs {
			if subtle.ConstantTimeCompare(got, mac) == 1 {
				same, s.mac = 1, [sha256.Size]byte(mac)
			}
		}
	}
	if same == 0 {
		return refuse(http.StatusUnauthorized, "unauthorized", "the signature is wrong")
	}
	return nil
}

// encodings of signatures, by their names in a map.
var encodings = map[string]func(string) ([]byte, error){
	"hex": hex.DecodeString,
	"base64": func(s string) ([]byte, error) {
		return base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	},
	"base64url": func(s string) ([]byte, error) {
		return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	},
}

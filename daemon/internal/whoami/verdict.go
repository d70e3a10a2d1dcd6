package whoami

import "fmt"

// Modes are the values of --worker, in the order in which they are explained.
var Modes = []string{"any", "leader", "ordinal", "dedicated", "off"}

// Verdict says what a daemon with this identity makes of a value of --worker.
func (id Identity) Verdict(mode string) string {
	switch mode {
	case "any":
		return "every process of this daemon that offers itself regenerates pages"
	case "leader":
		return "the daemons elect one by a lease, and its processes regenerate pages"
	case "ordinal":
		switch id.Ordinal {
		case None:
			return "only processes that know that they are number 0 regenerate pages: this daemon has no number"
		case 0:
			return "processes that are number 0 regenerate pages, and those that have no number: this daemon is number 0"
		default:
			return fmt.Sprintf("only processes that know that they are number 0 regenerate pages: this daemon is number %d", id.Ordinal)
		}
	case "dedicated":
		return "processes with the role dedicated (their ISRD_ROLE) regenerate pages"
	case "off":
		return "no process of this daemon regenerates pages"
	}
	return "there is no such mode"
}

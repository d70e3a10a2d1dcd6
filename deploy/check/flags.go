package check

import (
	"regexp"
	"slices"
	"strings"
)

var (
	helpFlag = regexp.MustCompile(`(?m)^\s*--?([a-z][a-z0-9-]+)`)
	variable = regexp.MustCompile(`\bISRD_[A-Z0-9_]*[A-Z0-9]\b`)
)

// Settings are the names by which a program takes its configuration.
type Settings struct {
	Flags     []string // without dashes, sorted
	Variables []string // sorted
}

// ParseHelp reads the settings from a help text: flags stand at the start of a line, variables anywhere.
func ParseHelp(help string) Settings {
	var s Settings
	for _, match := range helpFlag.FindAllStringSubmatch(help, -1) {
		s.Flags = append(s.Flags, match[1])
	}
	s.Variables = VariablesIn(help)
	slices.Sort(s.Flags)
	s.Flags = slices.Compact(s.Flags)
	return s
}

// VariablesIn returns the ISRD_… names in a text, sorted, each once.
func VariablesIn(text string) []string {
	names := variable.FindAllString(text, -1)
	slices.Sort(names)
	return slices.Compact(names)
}

// UnknownFlags returns the flags among args that s does not have.
func (s Settings) UnknownFlags(args []string) []string {
	var unknown []string
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-") {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !slices.Contains(s.Flags, name) {
			unknown = append(unknown, arg)
		}
	}
	return unknown
}

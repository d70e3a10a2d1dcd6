// Command isrd is the daemon of one node; see "isrd help".
package main

import (
	"context"
	"os"

	"github.com/isrd/isrd/daemon/internal/cli"
)

func main() { os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

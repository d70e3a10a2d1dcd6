package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/isrd/isrd/daemon/internal/config"
)

// health asks a daemon for its gRPC health. It finds the daemon as `isrd serve` was told to listen: by ISRD_LISTEN, or
// at the default socket.
func health(ctx context.Context, args []string, stdout, _ io.Writer) error {
	cfg := config.Default()
	fs := newFlagSet("health", "Ask a running daemon whether it serves. Exit code 0: yes. For probes and scripts.", stdout)
	timeout := fs.Duration("timeout", 2*time.Second, "how long the answer may take")
	addresses := fs.StringSlice("listen", cfg.Listen, "the daemon's --listen; the first one is asked [ISRD_LISTEN]")
	if err := parse(fs, args); err != nil {
		return help(err)
	}
	if err := config.Environ(fs, os.LookupEnv); err != nil {
		return errors.Join(errUsage, err)
	}
	if len(*addresses) == 0 {
		return errors.Join(errUsage, errors.New("--listen: give an address"))
	}
	address, err := config.ParseAddress((*addresses)[0])
	if err != nil {
		return errors.Join(errUsage, err)
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	state, err := ask(ctx, address)
	if err != nil {
		return fmt.Errorf("no daemon answers at %v: %w", address, err)
	}
	if state != healthv1.HealthCheckResponse_SERVING {
		return fmt.Errorf("the daemon at %v says %v", address, state)
	}
	_, err = fmt.Fprintf(stdout, "serving at %v\n", address)
	return err
}

func ask(ctx context.Context, a config.Address) (_ healthv1.HealthCheckResponse_ServingStatus, err error) {
	conn, err := dial(a)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	reply, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	return reply.GetStatus(), err
}

// dial gives a connection to a daemon, which is opened when it is used.
func dial(a config.Address) (*grpc.ClientConn, error) {
	target := "passthrough:///" + a.Target
	if a.Network == "unix" {
		target = "unix://" + a.Target
	}
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32))) // the daemon bounds what it sends
	if err != nil {
		return nil, fmt.Errorf("dial %v: %w", a, err)
	}
	return conn, nil
}

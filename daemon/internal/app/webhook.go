package app

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/isrd/isrd/daemon/internal/server"
	"github.com/isrd/isrd/daemon/internal/webhook"
)

// hook is the endpoint for webhooks with its listener.
type hook struct {
	*webhook.Hook
	listener net.Listener
}

// listenForWebhooks builds the endpoint, if there is to be one.
func (a *App) listenForWebhooks(ctx context.Context) error {
	if a.config.WebhookListen == "" {
		return nil
	}
	m, err := webhook.LoadMap(a.config.WebhookMaps, a.config.WebhookSecrets, a.config.WebhookTokens, os.Getenv)
	if err != nil {
		return fmt.Errorf("--webhook-map: %w", err)
	}
	l, err := server.Listen(ctx, "tcp", a.config.WebhookListen, 0)
	if err != nil {
		return fmt.Errorf("--webhook-listen: %w", err)
	}
	a.webhooks = &hook{listener: l, Hook: webhook.New(webhook.Config{
		Revalidator: a.server, Jobs: a.queue, Apps: a.config.Apps, Secrets: a.config.WebhookSecrets, Tokens: a.config.WebhookTokens,
		Map: m, Window: a.config.WebhookWindow, MaxBytes: int64(a.config.WebhookMaxBytes), Rate: a.config.WebhookRate,
		Logger: a.log, Registerer: a.registry,
	})}
	return nil
}

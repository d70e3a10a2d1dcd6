import { AsyncLocalStorage } from "node:async_hooks";
import { subscribe } from "node:diagnostics_channel";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { InHand, ReadResult, Render } from "../renders.js";

/** One HTTP request that this process answers. */
export interface RequestScope {
  readonly rawHeaders: readonly string[];
  /** Renders that end with the response: if no set has come by then, none will. */
  readonly renders: Set<Render>;
  /** Its response has been sent. */
  finished: boolean;
  /** The results of `'use cache'` that it has. */
  readonly inHand: InHand & { readonly read: ReadResult[] };
}

function newScope(rawHeaders: readonly string[]): RequestScope {
  return { rawHeaders, renders: new Set(), finished: false, inHand: { since: performance.now(), read: [] } };
}

/**
 * Finds the HTTP request that a call of the handler belongs to, and tells when its response has been sent. Next.js gives
 * a handler neither, so Node's own announcements are used: each request begins its own asynchronous context.
 *
 * `finish` is what counts, not `close`: an aborted request goes on rendering, and its set comes.
 */
export class RequestScopes {
  readonly #storage = new AsyncLocalStorage<RequestScope>();
  readonly #scopes = new WeakMap<object, RequestScope>();
  readonly #onFinish: (scope: RequestScope, status: number) => void;

  /** `onFinish` is told of each response that has been sent while renders belong to its request, and its status. */
  constructor(onFinish: (scope: RequestScope, status: number) => void) {
    this.#onFinish = onFinish;
  }

  /** Begins to watch the process's HTTP servers, for as long as it lives. */
  watch(): void {
    subscribe("http.server.request.start", (message) => {
      const { request } = message as { request: IncomingMessage };
      this.#storage.enterWith(this.#scopeOf(request));
    });
    subscribe("http.server.response.finish", (message) => {
      const { request, response } = message as { request: IncomingMessage; response: ServerResponse };
      const scope = this.#scopes.get(request.headers);
      if (!scope) return;
      scope.finished = true;
      if (scope.renders.size > 0) this.#onFinish(scope, response.statusCode);
    });
  }

  /**
   * The request that the caller works for. The one that loaded the handler began before anybody watched; it is known by
   * its headers object, which Next.js 15 and later hand to the handler as it is.
   */
  current(headers: object | undefined): RequestScope | undefined {
    const scope = this.#storage.getStore();
    if (scope || !headers) return scope;
    let known = this.#scopes.get(headers);
    if (!known) {
      known = newScope([]);
      this.#scopes.set(headers, known);
    }
    return known;
  }

  #scopeOf(request: IncomingMessage): RequestScope {
    const scope = newScope(request.rawHeaders);
    this.#scopes.set(request.headers, scope);
    return scope;
  }
}

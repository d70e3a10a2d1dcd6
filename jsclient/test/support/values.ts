import type { AppPageValue, AppRouteValue, FetchValue, HostValue, PagesValue } from "../../src/next/values.js";

/** A page of the App Router, as 16.4 makes them: `/_full` is the Buffer of `rscData`. */
export function appPage(html: string, tags = "_N_T_/layout,products"): AppPageValue {
  const rscData = Buffer.from(`rsc of ${html}`);
  return {
    kind: "APP_PAGE",
    html,
    rscData,
    headers: { "x-next-cache-tags": tags, "x-nextjs-stale-time": "300" },
    postponed: undefined,
    status: undefined,
    segmentData: new Map([
      ["/_tree", Buffer.from("tree")],
      ["/_full", rscData],
      ["/_head", Buffer.alloc(0)],
    ]),
  };
}

export function pagesPage(html: string): PagesValue {
  return { kind: "PAGES", html, pageData: { pageProps: { html } }, headers: undefined, status: undefined };
}

export function route(body: string | Buffer): AppRouteValue {
  return {
    kind: "APP_ROUTE",
    body: Buffer.from(body as string),
    status: 200,
    headers: { "content-type": "text/plain", "set-cookie": ["a=1", "b=2"] },
  };
}

export function fetched(body: string, tags: string[] = ["products"], revalidate = 60): FetchValue {
  return {
    kind: "FETCH",
    data: { headers: { "content-type": "application/json" }, body, status: 200, url: "https://origin/products" },
    tags,
    revalidate,
  };
}

/** A generator of numbers that can be replayed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Makes random values of every kind. */
export class RandomValues {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seeded(seed);
  }

  int(below: number): number {
    return Math.floor(this.#random() * below);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(items.length)] as T;
  }

  text(max: number): string {
    const alphabet = ["a", "Z", "0", " ", "\n", "\u0000", '"', "é", "日", "🚀", "<b>", "\u2028"];
    return Array.from({ length: this.int(max) }, () => this.pick(alphabet)).join("");
  }

  bytes(max: number): Buffer {
    return Buffer.from(Array.from({ length: this.int(max) }, () => this.int(256)));
  }

  maybe<T>(make: () => T): T | undefined {
    return this.int(2) ? make() : undefined;
  }

  headers(): Record<string, string | string[] | number> {
    const list = Array.from({ length: this.int(4) }, (_, i) => {
      const value = this.pick<() => string | string[] | number>([
        () => this.text(8),
        () => Array.from({ length: this.int(3) }, () => this.text(5)),
        () => this.int(1000) - 500,
      ])();
      return [`x-${i}-${this.int(100)}`, value] as const;
    });
    return Object.fromEntries(list);
  }

  json(depth = 3): object {
    const leaf = (): unknown =>
      this.pick<() => unknown>([() => this.text(9), () => this.int(9), () => null, () => true])();
    const make = (left: number): unknown => (left > 0 && this.int(2) ? this.json(left - 1) : leaf());
    return Object.fromEntries(Array.from({ length: this.int(4) }, (_, i) => [`k${i}`, make(depth)]));
  }

  value(): HostValue | null {
    return this.pick<() => HostValue | null>([
      () => null,
      () => this.#appPage(),
      () => ({
        kind: "PAGES",
        html: this.text(200),
        pageData: this.json(),
        headers: this.maybe(() => this.headers()),
        status: this.maybe(() => 200 + this.int(300)),
      }),
      () => ({ kind: "APP_ROUTE", body: this.bytes(200), status: 200 + this.int(300), headers: this.headers() }),
      () => ({ kind: "REDIRECT", props: this.json() }),
      () => this.#fetch(),
      () => ({
        kind: "IMAGE",
        etag: this.text(9),
        upstreamEtag: this.text(9),
        buffer: this.bytes(300),
        extension: "webp",
        ...(this.int(2) ? { revalidate: this.int(9999) } : {}),
      }),
    ])();
  }

  #appPage(): AppPageValue {
    const rscData = this.maybe(() => this.bytes(200));
    const segment = (): Buffer => (rscData && this.int(3) === 0 ? rscData : this.bytes(60));
    const segments = (): Map<string, Buffer> =>
      new Map(Array.from({ length: this.int(5) }, (_, i) => [`/s${i}/$d$${this.text(4)}`, segment()]));
    return {
      kind: "APP_PAGE",
      html: this.text(300),
      rscData,
      headers: this.maybe(() => this.headers()),
      postponed: this.maybe(() => this.text(50)),
      status: this.maybe(() => 200 + this.int(300)),
      segmentData: this.maybe(segments),
    };
  }

  #fetch(): FetchValue {
    const headers = Object.fromEntries(Array.from({ length: this.int(3) }, (_, i) => [`h${i}`, this.text(6)]));
    const status = this.maybe(() => 200);
    return {
      kind: "FETCH",
      data: { headers, body: this.text(200), url: this.text(20), ...(status === undefined ? {} : { status }) },
      revalidate: this.pick([false as const, this.int(9999), 31_536_000]),
      ...(this.int(2) ? { tags: Array.from({ length: this.int(4) }, () => this.text(6)) } : {}),
    };
  }
}

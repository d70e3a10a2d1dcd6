/**
 * What Next.js hands to a cache handler and takes from it, in the words of Next.js. Declared here and not imported, so
 * that the package compiles against no version of `next` and runs with several.
 */

/** Response headers as Next.js keeps them. */
export type HostHeaders = Record<string, string | string[] | number | undefined>;

/** A page of the Pages Router. */
export interface PagesValue {
  kind: "PAGES";
  html: string;
  pageData: object;
  headers: HostHeaders | undefined;
  status: number | undefined;
}

/** A page of the App Router. `segmentData.get("/_full")` may be the very Buffer of `rscData`. */
export interface AppPageValue {
  kind: "APP_PAGE";
  html: string;
  rscData: Buffer | undefined;
  headers: HostHeaders | undefined;
  postponed: string | undefined;
  status: number | undefined;
  segmentData: Map<string, Buffer> | undefined;
}

/** The response of a route handler. */
export interface AppRouteValue {
  kind: "APP_ROUTE";
  body: Buffer;
  status: number;
  headers: HostHeaders;
}

/** A page of either router in Next.js 14; the App Router's has its flight as text in `pageData`. */
export interface Page14Value {
  kind: "PAGE";
  html: string;
  pageData: object | string;
  headers: HostHeaders | undefined;
  postponed: string | undefined;
  status: number | undefined;
}

/** The response of a route handler in Next.js 14. */
export interface Route14Value {
  kind: "ROUTE";
  body: Buffer;
  status: number;
  headers: HostHeaders;
}

/** A redirect of the Pages Router; the App Router's are pages with a status. */
export interface RedirectValue {
  kind: "REDIRECT";
  props: object;
}

/** A fetch() (body in base64) or unstable_cache (body in JSON) result; the text is never looked at here. */
export interface FetchValue {
  kind: "FETCH";
  data: { headers: Record<string, string>; body: string; url: string; status?: number };
  tags?: string[];
  revalidate: number | false;
}

/** An optimised image. */
export interface ImageValue {
  kind: "IMAGE";
  etag: string;
  upstreamEtag: string;
  buffer: Buffer;
  extension: string;
  revalidate?: number;
}

/** Everything that a handler is given to keep. `null` is a value too: a cached "not found". */
export type HostValue =
  | PagesValue
  | AppPageValue
  | AppRouteValue
  | Page14Value
  | Route14Value
  | RedirectValue
  | FetchValue
  | ImageValue;

/** How a Next.js wants its pages and routes: `14` has two kinds for what 15 and later have three for. */
export type Dialect = "14" | "15";

/** Next.js's lifetime: seconds; `revalidate: false` is never. */
export interface HostCacheControl {
  revalidate: number | false;
  expire?: number;
}

/** What a get returns. Without `cacheControl` Next.js uses what it knows of the route. */
export interface HostAnswer {
  value: HostValue | null;
  /** Milliseconds on the clock that Next.js compares with. */
  lastModified: number;
  cacheControl?: HostCacheControl;
}

/** The second argument of get. Which fields are there differs by version and kind, so all are optional. */
export interface HostGetContext {
  kind?: string;
  /** Next.js 14's name for `kind`, in lower case. */
  kindHint?: string;
  isRoutePPREnabled?: boolean;
  isFallback?: boolean;
  revalidate?: number | false;
  tags?: string[];
  softTags?: string[];
}

/** The third argument of set. */
export interface HostSetContext extends HostGetContext {
  fetchCache?: boolean;
  cacheControl?: { revalidate?: number | false; expire?: number };
}

/** What the constructor is given. */
export interface HostContext {
  dev?: boolean;
  serverDistDir?: string;
  /** From 15 on the live `headers` object of the request, in 14 a copy; `{}` where there is no request. */
  _requestHeaders?: Record<string, string | string[] | undefined>;
}

/** What an app's `revalidate` of an hour means to a CDN: `expire` is Next.js's default of a year. */
export const PAGE_CACHE_CONTROL = "s-maxage=3600, stale-while-revalidate=31532400";

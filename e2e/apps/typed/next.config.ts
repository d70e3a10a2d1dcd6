import { createRequire } from "node:module";

// The type NextConfig would be that of whichever Next.js is nearest to this file.
const config = {
  cacheHandler: createRequire(import.meta.url).resolve("isrd/cache-handler"),
  cacheMaxMemorySize: 0,
  images: { customCacheHandler: true },
};

export default config;

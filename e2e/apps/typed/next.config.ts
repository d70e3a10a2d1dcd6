import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** Since 16 images can go by the handler too; before, the option is an error. */
const images = require("next/package.json").version.startsWith("15.") ? {} : { customCacheHandler: true };

// The type NextConfig would be that of whichever Next.js is nearest to this file.
const config = { cacheHandler: require.resolve("isrd/cache-handler"), cacheMaxMemorySize: 0, images };

export default config;
